"""The ``fly-orm`` command: one module per subcommand. Imports whatever a command needs."""

from .main import main

__all__ = ["main"]
