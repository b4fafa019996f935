"""``manage.py fly_orm_serve``: runs a node."""

from __future__ import annotations

from fly_orm.cli import serve

from ..cli_command import CliCommand


class Command(CliCommand):
    """``fly-orm serve`` for the databases of the project."""

    help = "Execute the statements and run the functions that other regions send."
    command = serve
