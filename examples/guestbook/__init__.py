"""A small Flask application that runs in two regions. README.md has the commands."""
