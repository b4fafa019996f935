"""``fly-orm serve``: runs a node."""

from __future__ import annotations

import argparse
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

from ..concurrency.latch import Latch
from ..errors import ConfigurationError
from ..runtime.regions import is_primary
from ..serving.node import serve
from ..settings import LIMITS, Limit, Settings, variable_of
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
    for name, limit in LIMITS.items():
        option = "--" + name.replace("_", "-")
        default = limit.text_of(getattr(Settings, name))
        parser.add_argument(
            option,
            type=partial(_parse, option, limit),
            default=argparse.SUPPRESS,
            dest=name,
            metavar=(limit.unit or "n").upper(),
            help=f"{limit.meaning} (default: {variable_of(name)}, else {default})",
        )


def _parse(option: str, limit: Limit, text: str) -> Any:
    try:
        return limit.parse(option, text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(options: argparse.Namespace) -> int:
    """Serve until the process receives SIGTERM or SIGINT."""
    sys.path.insert(0, str(Path.cwd()))
    stopping = Latch()  # its set() takes no lock, which wait() could hold when the signal comes
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    databases = [load(name) for name in options.database]
    for module in options.imports:
        import_named(module, module)
    limits = {name: value for name, value in vars(options).items() if name in LIMITS}
    with serve(*databases, listen=options.listen, **limits) as serving:
        print(f"fly-orm: serving {', '.join(serving.databases)} at {serving.address}", flush=True)
        if is_primary():
            serving.warn_unless_primary()
        while not stopping.wait(_SIGNAL_INTERVAL):
            pass
    return 0
