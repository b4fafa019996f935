"""A subcommand of ``fly-orm`` as a command of ``manage.py``, for the databases of the project."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from fly_orm.errors import FlyOrmError

from ..routed import routed_aliases


class CliCommand(BaseCommand):  # type: ignore[misc]  # Django has no types
    """Takes the aliases of databases where ``fly-orm`` takes their modules, and by default all that are routed."""

    command: Any
    """The module of the subcommand."""
    requires_system_checks: Any = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "aliases", nargs="*", metavar="ALIAS", help="in settings.DATABASES (default: all that fly_orm routes)"
        )
        self.command.add_options(parser)

    def handle(self, *_: Any, aliases: list[str], **options: Any) -> None:
        """Run the subcommand, and exit with its status."""
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
        names = self.databases(_known(aliases) or _routed(), **options)
        options["database"] = [f"fly_orm_django.databases:{name}" for name in names]
        try:
            status = self.command.run(argparse.Namespace(**options))
        except FlyOrmError as error:
            raise CommandError(str(error)) from error
        if status:
            sys.exit(status)

    def databases(self, aliases: list[str], **_: Any) -> Iterable[str]:
        """What :mod:`fly_orm_django.databases` calls the databases that the command is for."""
        return aliases


def _known(aliases: list[str]) -> list[str]:
    for alias in aliases:
        if alias not in connections:
            raise CommandError(f"settings.DATABASES has no {alias!r}; there are {', '.join(connections)}")
    return aliases


def _routed() -> list[str]:
    if not (found := routed_aliases()):
        raise CommandError("no ENGINE in settings.DATABASES is 'fly_orm_django'")
    return list(found)
