"""The Postgres server of this region, as a replica and as a primary.

May import ``sessions``, ``waiters`` (by way of ``registry``), ``postgres`` and what they may import.
"""
