"""Benchmarks, run by ``make bench``. Each module measures one thing and returns a table; none asserts anything."""
