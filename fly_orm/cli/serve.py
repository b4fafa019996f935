"""``fly-orm serve``: runs a node."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from ..errors import ConfigurationError
from ..parsing import parse_timeout
from ..runtime.regions import is_primary
from ..serving.executor import IDLE_TIMEOUT
from ..serving.node import POOL_SIZE, serve
from .loading import import_named, load

NAME = "serve"
HELP = "execute the statements and run the functions that other regions send"

#: Seconds after which a signal is noticed at the latest. The system may deliver it to another thread, which does not
#: wake the main one, and Python runs handlers in the main thread only.
_SIGNAL_INTERVAL = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what to serve, and where."""
    parser.add_argument(
        "database", nargs="+", metavar="MODULE:ATTRIBUTE", help="a peewee or Pony database, such as shop.app:db"
    )
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module that registers functions, if the modules of the databases do not import it; may be repeated",
    )
    parser.add_argument("--listen", metavar="ADDRESS", help="the address to listen at (default: FLY_ORM_LISTEN)")
    parser.add_argument(
        "--pool-size",
        type=int,
        default=POOL_SIZE,
        metavar="N",
        help=f"the most statements per database, and functions, that run at a time (default: {POOL_SIZE})",
    )
    parser.add_argument(
        "--idle-timeout",
        type=_timeout,
        default=IDLE_TIMEOUT,
        metavar="SECONDS",
        help="roll the transaction of a caller back after so long without a statement; none for no limit "
        f"(default: {IDLE_TIMEOUT:g})",
    )


def _timeout(text: str) -> float | None:
    try:
        return parse_timeout("--idle-timeout", text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(options: argparse.Namespace) -> int:
    """Serve until the process receives SIGTERM or SIGINT."""
    sys.path.insert(0, str(Path.cwd()))
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    databases = [load(name) for name in options.database]
    for module in options.imports:
        import_named(module, module)
    given = {"listen": options.listen, "pool_size": options.pool_size, "idle_timeout": options.idle_timeout}
    with serve(*databases, **given) as serving:
        print(f"fly-orm: serving {', '.join(serving.databases)} at {serving.address}", flush=True)
        if is_primary():
            serving.warn_unless_primary()
        while not stopping.wait(_SIGNAL_INTERVAL):
            pass
    return 0
