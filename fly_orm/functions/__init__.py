"""Functions that run in the primary region, or in any other."""
