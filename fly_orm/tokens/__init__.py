"""What a session has seen, as a text that another process goes on from."""
