"""``fly-orm serve``: runs a node."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from typing import Any

from ..concurrency.signals import STOP, Signals
from ..errors import ConfigurationError
from ..parsing import parse_workers
from ..runtime.regions import is_primary
from ..runtime.runtime import default_runtime
from ..serving.node import Serving, serve_in
from ..settings import LIMITS, Settings, variable_of
from ..sharing.inheritance import Inheritance
from ..sharing.membership import Membership
from ..supervising.worker import OPTION
from .loading import import_named, load, look_in_working_directory
from .memory import return_long_blocks
from .output import announce
from .working import cores, http_listeners, supervise, work

NAME = "serve"
HELP = "execute the statements and run the functions that other regions send"

log = logging.getLogger("fly_orm")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what to serve, and how."""
    parser.add_argument(
        "database", nargs="+", metavar="MODULE:ATTRIBUTE", help="a peewee or Pony database, such as shop.app:db"
    )
    add_options(parser)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare all but what to serve."""
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
        help="answer health checks and Prometheus at this address, such as [::]:8080: /livez, /readyz and /metrics "
        "(default: not at all)",
    )
    parser.add_argument(
        "--workers",
        type=partial(_parse, "--workers", parse_workers),
        default=argparse.SUPPRESS,
        metavar="N",
        help="the processes to serve with, or `auto`: one for each core (default: FLY_ORM_WORKERS, else 1)",
    )
    parser.add_argument(OPTION, type=Inheritance.decode, dest="inherited", help=argparse.SUPPRESS)
    for name, limit in LIMITS.items():
        if limit.of_callers:
            continue
        option = "--" + name.replace("_", "-")
        default = limit.text_of(getattr(Settings, name))
        parser.add_argument(
            option,
            type=partial(_parse, option, limit.parse),
            default=argparse.SUPPRESS,
            dest=name,
            metavar=(limit.unit or "n").upper(),
            help=f"{limit.meaning} (default: {variable_of(name)}, else {default})",
        )


def _parse(option: str, parse: Callable[[str, str], Any], text: str) -> Any:
    try:
        return parse(option, text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(options: argparse.Namespace) -> int:
    """Serve until the process receives SIGTERM or SIGINT."""
    return_long_blocks()
    if options.inherited is not None:
        return work(options.inherited, partial(_serve, options))
    workers = options.workers if "workers" in options else Settings.from_environment().workers
    if workers != 1:  # `auto` may mean one, which then can be replaced as any other number
        return supervise(options, workers or cores())
    with Signals(*STOP) as signals, ExitStack() as sockets:
        listeners = [sockets.enter_context(each) for each in http_listeners(options.http)]
        serving = _serve(options, None)
        try:
            http = serving.serve_http_on(listeners) if listeners else None
            announce(f"fly-orm: serving {', '.join(serving.databases)} at {serving.address}")
            if http is not None:
                announce(f"fly-orm: health checks at http://{http}/readyz")
            signals.wait()
        finally:
            _close(serving, signals)
    return 0


def _serve(options: argparse.Namespace, membership: Membership | None) -> Serving:
    """The node; with a membership, as one of several workers."""
    look_in_working_directory()
    databases = [load(name) for name in options.database]
    for module in options.imports:
        import_named(module, module)
    limits = {name: value for name, value in vars(options).items() if name in LIMITS}
    serving = serve_in(default_runtime(), databases, listen=options.listen, limits=limits, membership=membership)
    if is_primary():
        serving.warn_unless_primary()
    # What the application and its libraries have made stays, and the garbage collector need not look at it again.
    gc.collect()
    gc.freeze()
    return serving


def _close(serving: Serving, signals: Signals) -> None:
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
        log.warning(
            "%s came while the node was closing: it ends at once",
            signal.Signals(number).name,
            extra={"event": "forced_end", "signal": signal.Signals(number).name},
        )
        logging.shutdown()
        os._exit(128 + number)
    closed.result()
