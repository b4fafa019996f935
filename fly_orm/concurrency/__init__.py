"""Pools, timers and forks: general tools that know nothing of databases. They import nothing but the deadline."""
