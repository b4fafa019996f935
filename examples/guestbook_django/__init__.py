"""A small Django project that runs in two regions. README.md has the commands."""
