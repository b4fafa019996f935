"""The Postgres server of this region, as a replica and as a primary.

May import ``forwarding`` (its background tasks), ``sessions``, ``waiters`` (by way of ``registry``), ``postgres`` and
what they may import.
"""
