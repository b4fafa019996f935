"""The ``fly-orm`` command, one module for each subcommand. Imports whatever a subcommand needs.

To add a subcommand, write a module with the names that :class:`fly_orm.cli.command.Command` lists, and add it to
``COMMANDS`` in ``command_line.py``. The modules ``check`` and ``serve`` are public, for frameworks that have commands
of their own.
"""

from .command_line import main

__all__ = ["main"]
