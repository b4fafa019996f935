"""What 35 regions of 50 processes take, predicted from single costs, and compared where this machine can hold it.

The costs are those of this machine, where clients, servers and the network share the cores with the node. They come
from a few processes that write, and from idle channels. Fewer and more processes are observed next to what the model
says. A write costs the less, the more of them there are, since less has to be woken and fetched from memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from tests.support.tables import Table

from ..duration import is_quick
from ..plot import Line, Plot
from ..report import Report
from ..world import World
from . import model
from .model import Costs, Deployment
from .points import Observed, costs, observed

#: What is observed: so many processes, 80 ms away.
HERE = Deployment(regions=1, processes=1, threads=4, writes=10, rtt=0.08)
PROCESSES, CALIBRATED = ((1, 4) if is_quick() else (1, 4, 16)), 4
#: What is asked for: by the writes of each process a second.
LARGE = Deployment(regions=35, processes=50, threads=8, writes=1, rtt=0.15)
RATES = (0.1, 1, 10)
#: So that one can be restarted while the other serves, and places for statements that a worker should have.
NODES, PLACES = 2, 5


def run(world: World) -> Report:
    """The costs, the comparison, and what follows."""
    seen = {number: observed(world, replace(HERE, processes=number)) for number in PROCESSES}
    found = costs(world, seen[CALIBRATED])
    return Report(tables=[_costs(found), _compared(seen, found), _large(found)], plots=[_plot(seen, found)])


def _costs(found: Costs) -> Table:
    return Table(
        title="what single things cost here",
        headings=("", "cost"),
        rows=[
            ("node, a forwarded write", f"{found.node_write * 1e6:.0f} µs"),
            ("caller, a forwarded write, peewee included", f"{found.caller_write * 1e6:.0f} µs"),
            ("node, opening a channel", f"{found.handshake * 1e6:.0f} µs"),
            ("node, an open channel, each second", f"{found.idle_channel * 1e6:.1f} µs"),
            ("node without channels", f"{found.node_memory:.0f} MiB"),
            ("node, an open channel", f"{found.channel_memory * 1024:.0f} KiB"),
            ("questions to the replica for each write", f"{found.questions:.1f}"),
            ("one of the node's connections, for each write", f"{found.lease * 1000:.2f} ms"),
        ],
    )


#: What is compared: its name, what the model says, and what was seen.
Row = tuple[str, Callable[[Deployment, Costs], float], Callable[[Observed], float], str]
_ROWS: tuple[Row, ...] = (
    ("writes a second", lambda given, _: model.writes(given), lambda seen: seen.writes, ".0f"),
    ("cores of the node", model.worker_cores, lambda seen: seen.node_cores, ".3f"),
    ("channels to the node", model.channels_of_node, lambda seen: seen.channels, ".0f"),
    ("memory of the node, MiB", model.worker_memory, lambda seen: seen.memory, ".0f"),
    (
        "connections to the primary, at most",
        lambda given, _: model.primary_connections(given),
        lambda seen: seen.primary_connections,
        ".0f",
    ),
    (
        "connections to the replica, at most",
        lambda given, _: model.replica_connections(given),
        lambda seen: seen.replica_connections,
        ".0f",
    ),
    ("questions a second to the replica", model.questions, lambda seen: seen.questions, ".0f"),
)


def _compared(seen: dict[int, Observed], found: Costs) -> Table:
    rows = []
    for name, predict, look, form in _ROWS:
        cells: list[str] = []
        for number, each in seen.items():
            cells += [format(predict(replace(HERE, processes=number), found), form), format(look(each), form)]
        rows.append((name, *cells))
    return Table(
        title=(
            f"the model and what was seen: processes of {HERE.threads} threads, {HERE.writes:g} writes a second each, "
            f"{HERE.rtt * 1000:.0f} ms away, one node"
        ),
        headings=("", *(f"{number} {what}" for number in seen for what in ("processes: model", "seen"))),
        rows=rows,
        result=f"the cost of a write and its questions are from the observation of {CALIBRATED} processes",
    )


def _large(found: Costs) -> Table:
    rows: list[tuple[str, ...]] = [
        (name, *(tell(sized(replace(LARGE, writes=rate), found), found) for rate in RATES)) for name, tell in _LARGE
    ]
    return Table(
        title=(
            f"the model: {LARGE.regions} regions of {LARGE.processes} processes of {LARGE.threads} threads, "
            f"{LARGE.rtt * 1000:.0f} ms away, by writes a second of each process"
        ),
        headings=("", *(f"{rate:g}/s" for rate in RATES)),
        rows=rows,
        result="predicted from the costs above, on cores like these; nothing in this table was observed",
    )


def sized(given: Deployment, found: Costs) -> Deployment:
    """With workers enough, on two nodes, and places for statements enough for the workers."""
    workers = math.ceil(model.workers_needed(given, found) / NODES)
    return replace(given, nodes=NODES, workers=workers, pool_size=max(10, PLACES * workers))


_LARGE: tuple[tuple[str, Callable[[Deployment, Costs], str]], ...] = (
    ("writes a second, in all", lambda given, _: f"{model.writes(given):.0f}"),
    (
        f"workers needed, each using {model.UTILISATION:.0%} of a core",
        lambda given, found: f"{model.workers_needed(given, found)}",
    ),
    ("nodes × workers", lambda given, _: f"{given.nodes} × {given.workers}"),
    ("cores of each worker", lambda given, found: f"{model.worker_cores(given, found):.2f}"),
    ("channels of each worker", lambda given, found: f"{model.channels_of_worker(given, found):.0f}"),
    ("memory of each worker, MiB", lambda given, found: f"{model.worker_memory(given, found):.0f}"),
    (
        "processor time for handshakes when a node has restarted, s",
        lambda given, found: f"{model.restart(given, found):.1f}",
    ),
    (
        "connections of a node's pool in use, on average",
        lambda given, found: f"{model.leases(given, found):.1f} of {given.pool_size}",
    ),
    ("connections to the primary, at most", lambda given, _: f"{model.primary_connections(given)}"),
    ("strings of statements a second on the primary", lambda given, _: f"{model.primary_strings(given):.0f}"),
    ("connections to each replica, at most", lambda given, _: f"{model.replica_connections(given)}"),
    ("questions a second to each replica", lambda given, found: f"{model.questions(given, found):.0f}"),
)


def _plot(seen: dict[int, Observed], found: Costs) -> Plot:
    rates = [each.writes for each in seen.values()]
    predicted = [model.worker_cores(replace(HERE, processes=number), found) for number in seen]
    return Plot(
        name="growth",
        message="Cores of a node by the number of writes: the model, and what was seen",
        x_label="writes a second",
        y_label="cores of the node",
        lines=[
            Line(name="seen", x=rates, y=[each.node_cores for each in seen.values()]),
            Line(name="model", x=[model.writes(replace(HERE, processes=n)) for n in seen], y=predicted, dashed=True),
        ],
    )
