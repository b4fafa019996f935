"""Where each statement runs: decisions, the transaction on the primary, and the wait for the replica.

May import ``local``, ``runtime``, ``forwarding``, ``sessions``, ``postgres``, ``protocol`` and what they may import.
"""
