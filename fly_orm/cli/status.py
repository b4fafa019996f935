"""``fly-orm status``: shows the nodes of all regions, their load, and the lag of their replicas."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from ..checking.status import DatabaseStatus, NodeStatus, ask_status
from ..concurrency.latch import Bell
from ..deadline import Deadline
from ..errors import NotDelivered
from ..runtime.runtime import default_runtime
from .arguments import seconds
from .output import show
from .tables import printable, table

NAME = "status"
HELP = "show the nodes of all regions, their load, and the lag of their replicas"

#: Seconds that the nodes may take to answer, and between two tables, unless the command says otherwise.
TIMEOUT, INTERVAL = 5.0, 2.0
_CLEAR = "\x1b[H\x1b[2J"
_HEADER = (
    *("REGION", "NODE", "ROUND TRIP", "UP", "VERSION", "RELEASE", "CHANNELS"),
    *("DATABASE", "ROLE", "SERVER", "LAG", "LEASES"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="print one line of JSON each time")
    parser.add_argument(
        "--watch",
        type=seconds,
        nargs="?",
        const=INTERVAL,
        metavar="SECONDS",
        help=f"repeat after this many seconds (default: {INTERVAL:g}), until Ctrl-C",
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=TIMEOUT,
        metavar="SECONDS",
        help=f"how long the nodes may take to answer (default: {TIMEOUT:g})",
    )
    parser.epilog = "The exit status is 0 if all nodes answer, and 1 if some do not, or none is known."


def run(options: argparse.Namespace) -> int:
    """Show the status once, or until Ctrl-C. NotDelivered if the nodes cannot be looked up."""
    if options.watch is None:
        nodes = _ask(options)
        show(_shown(nodes, options))
        return int(not nodes or any(node.problem for node in nodes))
    pause = Bell()
    with suppress(KeyboardInterrupt):
        while True:
            try:
                shown = _shown(_ask(options), options)
            except NotDelivered as error:  # perhaps it passes
                shown = json.dumps({"problem": str(error)}) if options.json else str(error)
            show(f"{'' if options.json or not sys.stdout.isatty() else _CLEAR}{shown}")
            pause.wait(options.watch)
    return 0


def _ask(options: argparse.Namespace) -> list[NodeStatus]:
    return ask_status(default_runtime(), Deadline.after(options.timeout))


def _shown(nodes: Sequence[NodeStatus], options: argparse.Namespace) -> str:
    return json.dumps([node.as_json() for node in nodes]) if options.json else as_text(nodes)


def as_text(nodes: Sequence[NodeStatus]) -> str:
    """The status as a table, followed by problems and running functions."""
    if not nodes:
        return (
            "No node is known. Set PRIMARY_REGION and FLY_ORM_NODES as for the application, or run `fly-orm check` to "
            "find out why there is none."
        )
    rows = [row for node in nodes for row in _rows(node)]
    below = [printable(f"{node.region}={node.address}: {note}") for node in nodes for note in _notes(node)]
    return "\n".join([table([_HEADER, *rows]), *([""] if below else []), *below])


def _rows(node: NodeStatus) -> list[tuple[str, ...]]:
    if node.problem:
        return [(node.region, node.address, "none", *[""] * (len(_HEADER) - 3))]
    about = (
        node.region,
        node.address,
        "" if node.round_trip is None else f"{node.round_trip * 1000:.3g} ms",
        _span(node.uptime),
        node.version,
        node.release,
        "" if node.channels is None else str(node.channels),
    )
    databases = [_cells(database, node.pool_size) for database in node.databases] or [("",) * 5]
    return [(*(about if not index else [""] * len(about)), *cells) for index, cells in enumerate(databases)]


def _cells(database: DatabaseStatus, pool_size: int | None) -> tuple[str, ...]:
    leases = f"{database.leases} of {pool_size}"
    if not database.role:
        return database.name, "none", "", "", leases
    return database.name, database.role, database.server, _lag(database), leases


def _lag(database: DatabaseStatus) -> str:
    if database.role == "primary":
        return ""
    if database.lag_bytes is None:
        return "unknown"
    seconds = f", {_span(database.lag_seconds)}" if database.lag_bytes and database.lag_seconds is not None else ""
    return f"{database.lag_bytes} bytes{seconds}"


def _notes(node: NodeStatus) -> list[str]:
    """Problems and running functions, which do not fit into the table."""
    notes = [node.problem] if node.problem else []
    notes += ["it is shutting down"] if node.draining else []
    notes += [f"channels and leases are those of worker {node.worker} of {node.workers}"] if node.worker else []
    notes += [f"{database.name}: {database.server}" for database in node.databases if not database.role]
    notes += [f"runs {name}" + (f" ({count})" if count > 1 else "") for name, count in Counter(node.calls).items()]
    return notes


def _span(span: float | None) -> str:
    """A time in its largest unit."""
    if span is None:
        return ""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if span >= 2 * size:
            return f"{span / size:.0f} {unit}"
    return f"{span:.1f} s"
