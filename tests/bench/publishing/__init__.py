"""What becomes of what was measured: it is stored as JSON, drawn, and written into the pages."""
