"""The adapter for Pony."""
