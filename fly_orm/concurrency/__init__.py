"""Threads, pools and timers: general tools that know nothing of databases."""
