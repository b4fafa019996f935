"""The ``fly-orm`` command."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from .errors import ConfigurationError, FlyOrmError
from .places import is_primary
from .registry import TRANSPORTS, registry, survey_transports
from .serving.server import POOL_SIZE, serve, warn_unless_primary
from .settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0, 1 for a transport that fails, 2 for a mistake of the user's."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        return int(options.command(options))
    except FlyOrmError as error:
        print(f"fly-orm: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fly-orm",
        description="Runs a node, which serves those of other regions, and lists what can carry requests.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    transports = commands.add_parser("transports", help="list what can carry the requests, and what fails to load")
    transports.set_defaults(command=_transports)
    server = commands.add_parser("serve", help="execute what the nodes of other regions forward and call")
    server.set_defaults(command=_serve)
    server.add_argument(
        "database", nargs="+", metavar="MODULE:ATTRIBUTE", help="a peewee database, such as shop.app:db"
    )
    server.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module with functions to be called, if the databases' modules do not import it; may be repeated",
    )
    server.add_argument("--listen", metavar="ADDRESS", help="where to listen (default: FLY_ORM_LISTEN)")
    server.add_argument(
        "--pool-size",
        type=int,
        default=POOL_SIZE,
        metavar="N",
        help=f"connections to the primary, per database, and functions at a time (default: {POOL_SIZE})",
    )
    return parser


def _transports(options: argparse.Namespace) -> int:
    """Print the transports that are installed; 1 if one of them, or the one that is selected, cannot be used."""
    selected = Settings.from_environment().transport
    rows, failed = [("NAME", "DISTRIBUTION", "VERSION", "OBJECT", "STATUS")], False
    for plugin, problem in survey_transports():
        chosen = ", selected" if plugin.name == selected else ""
        status = " ".join(f"{problem or 'ok'}{chosen}".split())
        rows.append((plugin.name, plugin.distribution, plugin.version, plugin.target, status))
        failed = failed or problem is not None
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if selected not in {row[0] for row in rows[1:]}:
        registry(TRANSPORTS).load(selected)  # says so, and which there are
    return int(failed)


def _serve(options: argparse.Namespace) -> int:
    """Serve until the process is asked to stop."""
    sys.path.insert(0, str(Path.cwd()))
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    databases = [load(name) for name in options.database]
    for module in options.imports:
        _import(module, module)
    with serve(*databases, listen=options.listen, pool_size=options.pool_size) as serving:
        print(f"fly-orm: serving {', '.join(serving.databases)} at {serving.address}", flush=True)
        if is_primary():
            warn_unless_primary(serving)
        stopping.wait()
    return 0


def load(name: str) -> Any:
    """The object that ``module:attribute`` names; ConfigurationError if there is none."""
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise ConfigurationError(f"{name!r} names no database; write MODULE:ATTRIBUTE, such as shop.app:db")
    found = _import(module_name, name)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ConfigurationError(f"{name!r}: {module_name} has no {attribute!r}")
        found = getattr(found, part)
    return found


def _import(module: str, given: str) -> Any:
    """The module; ConfigurationError if there is none."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there, and what it imports is not
        raise ConfigurationError(
            f"{given!r}: there is no module {error.name!r} in {Path.cwd()} or on the path"
        ) from error
