"""What a caller has seen, what it has done, and how it wants its statements served."""
