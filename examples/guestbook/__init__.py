"""A small Flask application in three regions. README.md has the commands."""
