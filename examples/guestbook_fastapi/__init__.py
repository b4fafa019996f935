"""The guest book on FastAPI and Pony. README.md has the commands."""
