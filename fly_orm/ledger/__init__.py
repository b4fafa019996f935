"""The ledger: a table of what each request has committed, written in the same transaction.

Imports ``postgres``, ``protocol`` and plain values.
"""
