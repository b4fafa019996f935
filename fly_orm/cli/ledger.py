"""``fly-orm ledger``: makes the ledger of exactly-once writes, and prunes it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import psycopg2

from ..errors import ConfigurationError
from ..ledger.pruning import KEEP, KEEP_AT_LEAST, prune
from ..ledger.table import create_sql
from ..parsing import parse_timeout
from ..postgres.recovery import is_replica
from ..wrapping import router_of
from .loading import load

NAME = "ledger"
HELP = "make the table of exactly-once writes, print its SQL for a migration, or delete old rows"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions."""
    actions = parser.add_subparsers(required=True, metavar="ACTION", dest="action")
    create = actions.add_parser("create", help="make the table, unless it exists; run it in the primary region")
    sql = actions.add_parser("sql", help="print the SQL that makes the table, for a migration")
    pruning = actions.add_parser("prune", help="delete old rows; run it in the primary region")
    for action in (create, pruning):
        action.add_argument("database", metavar="MODULE:ATTRIBUTE", help="the wrapped database, such as shop.app:db")
    for action in (create, sql):
        action.add_argument(
            "--role",
            dest="roles",
            action="append",
            default=[],
            help="a role that may use the table besides its owner; may be repeated",
        )
    pruning.add_argument(
        "--older-than",
        type=_age,
        default=KEEP,
        metavar="SECONDS",
        help=f"how old rows have to be, at least {KEEP_AT_LEAST:g} (default: {KEEP:g}, a day)",
    )


def _age(text: str) -> float:
    try:
        seconds = parse_timeout("--older-than", text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if seconds is None or seconds < KEEP_AT_LEAST:
        raise argparse.ArgumentTypeError(f"must be at least {KEEP_AT_LEAST:g} seconds, not {text}")
    return seconds


def run(options: argparse.Namespace) -> int:
    """Do what was asked. ConfigurationError if the database is a replica, or does not let its role do it."""
    if options.action == "sql":
        print(create_sql(options.roles), end="")
        return 0
    sys.path.insert(0, str(Path.cwd()))
    router = router_of(load(options.database))
    try:
        connection = router.connect()
        try:
            print(_act(connection, router.name, options))
        finally:
            connection.close()
    except psycopg2.Error as error:
        raise ConfigurationError(
            f"cannot {options.action} the ledger of {router.name!r}: {str(error).strip()}"
        ) from error
    return 0


def _act(connection: Any, name: str, options: argparse.Namespace) -> str:
    """What was done, in one line."""
    if is_replica(connection):
        raise ConfigurationError(f"the server of {name!r} is a replica; run this command in the primary region")
    if options.action == "prune":
        return f"fly-orm: deleted {prune(connection, options.older_than)} rows from the ledger of {name}"
    with connection.cursor() as cursor:
        cursor.execute(create_sql(options.roles))
    return f"fly-orm: {name} has a ledger"
