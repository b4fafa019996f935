"""What travels between two nodes, and what it costs."""
