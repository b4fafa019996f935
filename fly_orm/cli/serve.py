"""``fly-orm serve``: runs a node."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from ..runtime.regions import is_primary
from ..serving.node import POOL_SIZE, serve
from .loading import import_named, load


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser("serve", help="execute what the nodes of other regions forward and call")
    parser.set_defaults(command=run)
    parser.add_argument(
        "database", nargs="+", metavar="MODULE:ATTRIBUTE", help="a peewee database, such as shop.app:db"
    )
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module with functions to be called, if the databases' modules do not import it; may be repeated",
    )
    parser.add_argument("--listen", metavar="ADDRESS", help="where to listen (default: FLY_ORM_LISTEN)")
    parser.add_argument(
        "--pool-size",
        type=int,
        default=POOL_SIZE,
        metavar="N",
        help=f"connections to the primary, per database, and functions at a time (default: {POOL_SIZE})",
    )


def run(options: argparse.Namespace) -> int:
    """Serve until the process is asked to stop."""
    sys.path.insert(0, str(Path.cwd()))
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    databases = [load(name) for name in options.database]
    for module in options.imports:
        import_named(module, module)
    with serve(*databases, listen=options.listen, pool_size=options.pool_size) as serving:
        print(f"fly-orm: serving {', '.join(serving.databases)} at {serving.address}", flush=True)
        if is_primary():
            serving.warn_unless_primary()
        stopping.wait()
    return 0
