"""Runs ``fly-orm serve`` with several workers: the supervisor, and each of the workers."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from ..concurrency.signals import STOP, Signals
from ..errors import ConfigurationError
from ..parsing import naming
from ..registry import make_transport
from ..serving.http import HttpServer, listen
from ..serving.metrics import metrics_page
from ..serving.node import Serving
from ..serving.readiness import Readiness, alive
from ..settings import Settings
from ..sharing.inheritance import Inheritance
from ..sharing.membership import Membership
from ..supervising.estate import Estate
from ..supervising.supervisor import SIGNALS, Supervisor
from .output import announce

log = logging.getLogger("fly_orm")

#: The descriptor of standard error, the last of the three streams.
_LAST_STREAM = 2


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def supervise(options: argparse.Namespace, workers: int) -> int:
    """Run so many workers until a signal asks to stop. The exit status.

    ConfigurationError if the transport cannot serve an address with several processes, or cannot listen there.
    """
    _open_standard_streams()
    settings = Settings.from_environment()
    address = options.listen or settings.listen
    transport: Any = make_transport(settings.transport, settings)
    if not hasattr(transport, "bind"):
        raise ConfigurationError(
            f"the transport {settings.transport!r} cannot serve one address with {_counted(workers)}; start as many "
            "nodes with one worker (--workers=1), each at an address of its own, and list all of them in FLY_ORM_NODES"
        )
    with naming("listen" if options.listen else "FLY_ORM_LISTEN", address):
        listeners = transport.bind(address)
    try:
        estate = Estate(workers, settings.transport, address, listeners)
    except OSError as error:
        raise ConfigurationError(
            f"cannot make what a node with {_counted(workers)} needs: {error}; start fewer workers (--workers), or "
            "give this process more file descriptors (ulimit -n)"
        ) from error
    with Signals(*SIGNALS) as signals:
        supervisor = Supervisor(workers, estate, signals, partial(_announce, workers))
        http = None
        try:
            http = _serve_http(options.http, supervisor, estate)
            return supervisor.run()
        finally:
            if http is not None:
                http.close()
            estate.close()


def _open_standard_streams() -> None:
    """Let no socket have the number of a standard stream that is closed: workers would inherit it as that stream."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _LAST_STREAM:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def _counted(workers: int) -> str:
    return "1 worker" if workers == 1 else f"{workers} workers"


def _announce(workers: int, databases: list[str], address: str) -> None:
    announce(f"fly-orm: serving {', '.join(databases)} with {_counted(workers)} at {address}")


def http_listeners(address: str | None) -> list[socket.socket]:
    """What listens for health checks, if there is an address for them."""
    return [] if address is None else listen(address)


def _serve_http(address: str | None, supervisor: Supervisor, estate: Estate) -> HttpServer | None:
    """The health checks and the metrics of the node, if there is an address for them."""
    if address is None:
        return None
    readiness = Readiness(supervisor.problems, lambda: supervisor.is_stopping)
    metrics = metrics_page(estate.keep_metrics)
    http = HttpServer(http_listeners(address), {"/livez": alive, "/readyz": readiness.page, "/metrics": metrics.page})
    announce(f"fly-orm: health checks at http://{http.address}/readyz")
    return http


def work(inherited: Inheritance, serve: Callable[[Membership], Serving]) -> int:
    """Be one of the workers until the supervisor asks to stop, or ends. ``serve`` makes the node."""
    name = f"worker {inherited.number + 1}"
    logging.basicConfig(level=logging.INFO, format=f"%(levelname)s %(name)s {name}: %(message)s", force=True)
    # A terminal, and some managers of services, signal all processes, and the supervisor does so once more: signals
    # after the first one mean nothing here, and the supervisor kills those that it does not wait for. SIGHUP means
    # nothing at all: the supervisor has got it too, and replaces one worker after another.
    with suppress(ImportError):  # before the application makes metrics of its own
        from ..prometheus.reserving import reserve_files

        reserve_files()
    with Signals(*STOP, signal.SIGHUP) as signals:
        membership = Membership(inherited, signals.wake)
        serving = serve(membership)
        with suppress(ImportError):  # the page of the supervisor says what is missing
            serving.keep_metrics_in_files()
        membership.serves(serving.databases, serving.address, serving.problems)
        while signals.wait() == signal.SIGHUP:
            pass
        serving.close()
    return 0
