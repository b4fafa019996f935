"""What a type checker must find out about applications; ``make types`` checks it, and nothing here is run."""
