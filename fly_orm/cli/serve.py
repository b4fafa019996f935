"""``fly-orm serve``: runs a node."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from ..parsing import Limit
from ..runtime.regions import is_primary
from ..serving.node import Serving, serve
from ..settings import LIMITS, Settings, variable_of
from .loading import import_named, load
from .memory import return_long_blocks
from .stop_signals import StopSignals

NAME = "serve"
HELP = "execute the statements and run the functions that other regions send"

log = logging.getLogger("fly_orm")


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
        "--http",
        metavar="ADDRESS",
        help="answer health checks at this address, such as [::]:8080: /livez and /readyz (default: not at all)",
    )
    for name, limit in LIMITS.items():
        if limit.of_callers:
            continue
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
    return_long_blocks()
    sys.path.insert(0, str(Path.cwd()))
    with StopSignals() as signals:
        databases = [load(name) for name in options.database]
        for module in options.imports:
            import_named(module, module)
        limits = {name: value for name, value in vars(options).items() if name in LIMITS}
        serving = serve(*databases, listen=options.listen, stand_by=False, **limits)
        try:
            print(f"fly-orm: serving {', '.join(serving.databases)} at {serving.address}", flush=True)
            if options.http:
                print(f"fly-orm: health checks at http://{serving.serve_http(options.http)}/readyz", flush=True)
            if is_primary():
                serving.warn_unless_primary()
            signals.wait()
        finally:
            _close(serving, signals)
    return 0


def _close(serving: Serving, signals: StopSignals) -> None:
    """Close the node, unless another signal ends the process first."""
    closed: Future[None] = Future()

    def close() -> None:
        try:
            serving.close()
            closed.set_result(None)
        except BaseException as error:  # noqa: BLE001  # raised in the main thread
            closed.set_exception(error)
        finally:
            signals.wake()

    threading.Thread(target=close, name="fly-orm serve close", daemon=True).start()
    if number := signals.wait():
        log.warning("%s came while the node was closing: it ends at once", signal.Signals(number).name)
        logging.shutdown()
        os._exit(128 + number)
    closed.result()
