"""What one process has: its settings, its region, and its way to other nodes."""
