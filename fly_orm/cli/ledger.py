"""``fly-orm ledger``: makes the ledger of exactly-once writes, and prunes it."""

from __future__ import annotations

import argparse
import math
from typing import Any

import psycopg2

from ..errors import ConfigurationError
from ..ledger.pruning import KEEP, KEEP_AT_LEAST, KEEP_KEYS, prune
from ..ledger.table import TABLE, create_sql
from ..postgres.recovery import is_replica
from ..wrapping import router_of_wrapped
from .loading import load, look_in_working_directory
from .output import show

NAME = "ledger"
#: Seconds, about 300 years: the longest age that Postgres can subtract from any date it is likely to have.
_MOST = 1e10
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
        help=f"how old the rows of requests have to be, at least {KEEP_AT_LEAST:g} (default: {KEEP:g}, a day)",
    )
    pruning.add_argument(
        "--keys-older-than",
        type=_age,
        default=KEEP_KEYS,
        metavar="SECONDS",
        help=f"how old the keys of operations have to be (default: {KEEP_KEYS:.0f}, thirty days)",
    )


def _age(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not KEEP_AT_LEAST <= seconds <= _MOST:
        raise argparse.ArgumentTypeError(f"{text!r:.100}: write seconds, at least {KEEP_AT_LEAST:g}, such as 7200")
    return seconds


def run(options: argparse.Namespace) -> int:
    """Do what was asked. ConfigurationError if the database is a replica, or does not let its role do it."""
    if options.action == "sql":
        show(create_sql(options.roles), end="")
        return 0
    look_in_working_directory()
    router = router_of_wrapped(load(options.database))
    try:
        connection = router.connect()
        try:
            done = _act(connection, router.name, options)
        finally:
            connection.close()
    except psycopg2.Error as error:
        raise ConfigurationError(_problem(error, router.name, options)) from error
    show(done)
    return 0


def _problem(error: psycopg2.Error, name: str, options: argparse.Namespace) -> str:
    """What is wrong, and what to do."""
    if isinstance(error, psycopg2.errors.UndefinedTable) and options.action == "prune":
        return f"{name!r} has no ledger; `fly-orm ledger create {options.database}` makes one"
    problem = f"cannot {options.action} the ledger of {name!r}: {error.diag.message_primary or str(error).strip()}"
    if isinstance(error, psycopg2.errors.InsufficientPrivilege):
        return f"{problem}. {_WHO[options.action]}"
    return problem


_WHO = {
    "create": "Connect as the owner of the table, or as a role that has CREATE on the schema public",
    "prune": f"Connect as the owner of {TABLE}; row security hides the rows of other roles",
}


def _act(connection: Any, name: str, options: argparse.Namespace) -> str:
    """What was done, in one line."""
    if is_replica(connection):
        raise ConfigurationError(f"the server of {name!r} is a replica; run this command in the primary region")
    if options.action == "prune":
        deleted = prune(connection, options.older_than, keep_keys=options.keys_older_than)
        return f"fly-orm: deleted {deleted} rows from the ledger of {name}"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_catalog.to_regclass('{TABLE}') IS NULL")
        [is_new] = cursor.fetchone()
        cursor.execute(create_sql(options.roles))
    done = f"created the ledger of {name}" if is_new else f"{name} already has a ledger"
    return f"fly-orm: {done}" + (f"; granted {', '.join(options.roles)}" if options.roles else "")
