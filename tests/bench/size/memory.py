"""How much memory a wrapped process takes over an unwrapped one, and a node by the number of its channels.

What counts is the memory that a process would give back if it ended (USS): libraries that processes share are not in
it. The processes are new, and each has done the same work with the replica once; the wrapped one has also written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from statistics import median
from time import sleep

import psutil

from examples.two_regions.process import Process
from fly_orm.deadline import Deadline
from fly_orm.forwarding.channels import NodeChannels
from fly_orm.protocol.secret import Secrets
from fly_orm.registry import make_transport
from fly_orm.settings import Settings
from fly_orm.topology import Node
from tests.support.tables import Table

from ..duration import times
from ..plot import Line, Plot
from ..report import Report
from ..world import SECRET, World
from .subject import PLAIN, WRAPPED

PROCESSES = times(5, 1)
THREADS = (1, 8, 32)
CHANNELS = (0, 100, 1000)


def run(world: World) -> Report:
    """The two tables."""
    nodes = _of_a_node(world)
    applications = {threads: (_median(world, PLAIN, threads), _median(world, WRAPPED, threads)) for threads in THREADS}
    return Report(
        tables=[_of_applications(applications), _table(nodes)],
        plots=[
            Plot(
                name="memory",
                message="Memory of a process with peewee, unwrapped and wrapped",
                x_label="memory of the process alone (MiB)",
                bars=[f"{threads} threads" for threads in applications],
                lines=[
                    Line(name=name, x=[], y=[round(sizes[kind], 1) for sizes in applications.values()])
                    for kind, name in enumerate(("unwrapped", "wrapped"))
                ],
            ),
            Plot(
                name="node_memory",
                message="Memory of a node by the number of its channels, all of them idle",
                x_label="channels",
                y_label="memory of the node (MiB)",
                lines=[Line(name="node", x=list(nodes), y=[size for size, _ in nodes.values()])],
            ),
        ],
    )


def size_of(pid: int) -> float:
    """The memory that only this process has (MiB)."""
    return float(psutil.Process(pid).memory_full_info().uss) / 2**20


def _of_applications(sizes: dict[int, tuple[float, float]]) -> Table:
    return Table(
        title=f"memory (MiB) of a process with peewee and a connection on each thread, medians of {PROCESSES}",
        headings=("threads", "unwrapped", "wrapped", "more"),
        rows=[
            (threads, f"{plain:.1f}", f"{wrapped:.1f}", f"{wrapped - plain:.1f}")
            for threads, (plain, wrapped) in sizes.items()
        ],
    )


def _median(world: World, kind: str, threads: int) -> float:
    reach = {"replica": dict(world.reach["replica"]), "node": world.reach["node"]}
    environment = {**os.environ, "SUBJECT": json.dumps(reach), "FLY_ORM_SECRET": SECRET}
    sizes = []
    for _ in range(PROCESSES):
        with Process("tests.bench.size.subject", kind, str(threads), environment=environment) as process:
            assert process.hear() == "ready"
            sizes.append(size_of(process.pid))
            process.tell("enough")
    return median(sizes)


def _of_a_node(world: World) -> dict[int, tuple[float, int]]:
    """Memory and threads, by the number of channels."""
    pid, address = world.backstage.another_node()
    found = {}
    for number in CHANNELS:
        with held(address, number):
            sleep(1)
            found[number] = size_of(pid), psutil.Process(pid).num_threads()
    return found


@contextmanager
def held(address: str, number: int) -> Iterator[list[float]]:
    """So many open channels to a node, each of which works at the end; how long each took to open (seconds)."""
    transport, node = make_transport("pyro5", Settings()), Node(region="syd", address=address)
    channels = NodeChannels(transport, node, secrets=Secrets(SECRET), region="lax", max_size=max(number, 1))
    with closing(channels):
        opened, took = [], []
        for _ in range(number):
            deadline = Deadline.after(10)
            opened.append(channels.acquire(deadline))
            took.append(10 - deadline.remaining())
        yield took
        for channel in opened:
            channel.greet(Deadline.after(10))
            channels.release(channel)


def _table(nodes: dict[int, tuple[float, int]]) -> Table:
    (least, fewest), (most, _) = nodes[CHANNELS[0]], nodes[CHANNELS[-1]]
    return Table(
        title="memory of a node whose channels are idle",
        headings=("channels", "MiB", "threads"),
        rows=[(number, f"{size:.1f}", threads) for number, (size, threads) in nodes.items()],
        result=f"{(most - least) / CHANNELS[-1] * 1024:.0f} KiB for each channel, {fewest} threads without any",
    )
