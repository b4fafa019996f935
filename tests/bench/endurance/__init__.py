"""Minutes of work, of strangers and of hostile peers: more about reliability than about speed."""
