"""Pony's own test suite, run unwrapped on a primary and wrapped on its replica, and compared test by test."""
