"""The way to other nodes: finding them, channels to them, and what became of each request."""
