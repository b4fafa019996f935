"""What a caller has seen, what it has done, and how it wants its statements served.

May import ``postgres``, ``classify``, ``protocol`` and the values at the top level.
"""
