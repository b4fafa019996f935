"""What a read costs, and what it sees."""
