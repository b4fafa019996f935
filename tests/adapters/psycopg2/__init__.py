"""Connection factories."""
