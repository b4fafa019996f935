"""Pools, timers, latches and forks: general tools that know nothing of databases. They import only the deadline."""
