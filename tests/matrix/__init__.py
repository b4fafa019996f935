"""What callers see of every fault, at every moment of every operation."""
