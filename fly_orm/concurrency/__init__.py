"""Pools and timers: general tools that know nothing of databases. They import nothing but the deadline."""
