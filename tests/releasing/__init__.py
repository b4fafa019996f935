"""Builds the distributions of this tree, and tries them on other versions of what they need."""
