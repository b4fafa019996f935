"""Exceptions between nodes: as values, and as what a function raised, which arrives whatever it is."""
