"""``manage.py fly_orm_serve``: runs a node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandParser
from django.db import connections

from fly_orm.cli import serve

from ..cli_command import CliCommand


class Command(CliCommand):
    """``fly-orm serve`` for the databases of the project."""

    help = "Execute the statements and run the functions that other regions send."
    command = serve

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--tests",
            nargs="?",
            type=int,
            const=0,
            metavar="N",
            help="serve the test databases of the aliases instead, with N clones for `test --parallel N`",
        )

    def databases(self, aliases: list[str], **options: Any) -> Iterator[str]:
        clones: int | None = options["tests"]
        if clones is None:
            yield from super().databases(aliases, **options)
            return
        servers: dict[Any, str] = {}
        for alias in aliases:
            given = connections[alias].settings_dict
            servers.setdefault((given["HOST"], given["PORT"], given["USER"]), alias)
            yield f"tests.{alias}"
            yield from (f"clones.{alias}_{number}" for number in range(1, clones + 1))
        yield from (f"maintenance.{alias}" for alias in servers.values())
