"""What a caller has seen, and what it has done."""
