"""What 1,000 channels that do nothing cost a node, and those who use it meanwhile."""

from __future__ import annotations

from contextlib import closing
from statistics import median
from time import perf_counter, sleep
from typing import Any

import psutil

from fly_orm.deadline import Deadline
from fly_orm.forwarding.channels import NodeChannels
from fly_orm.protocol.secret import Secrets
from fly_orm.registry import make_transport
from fly_orm.settings import Settings
from fly_orm.topology import Node
from tests.support.tables import Table

from ..duration import seconds
from ..report import ms
from ..world import SECRET, World, model

CHANNELS = 1000
WRITES = 200


def run(world: World) -> Table:
    """Held for a minute, unless SECONDS says otherwise."""
    duration, node = seconds(60), psutil.Process(world.reach["node pid"])
    place = Node(region="syd", address=world.reach["rpc"])
    channels = NodeChannels(
        make_transport("pyro5", Settings()), place, secrets=Secrets(SECRET), region="lax", max_size=CHANNELS
    )
    with world.lax() as lax, closing(channels):
        row, before = model(lax), (*_size(node), 0.0)
        before = (*_size(node), _write(row))
        started = perf_counter()
        held = [channels.acquire(Deadline.after(10)) for _ in range(CHANNELS)]
        opening = perf_counter() - started
        sleep(duration)
        during = (*_size(node), _write(row))
        for channel in held:
            channel.greet(Deadline.after(10))  # each of them still works
            channels.release(channel)
        channels.close()
        sleep(2)
        after = (*_size(node), _write(row))
    return Table(
        title=f"{CHANNELS} idle channels to one node, opened in {opening:.1f} s, held for {duration:g} s",
        headings=("", "memory MiB", "threads", "a write of somebody else, ms"),
        rows=[
            (name, f"{size:.0f}", threads, ms(write))
            for name, (size, threads, write) in (("before", before), ("meanwhile", during), ("afterwards", after))
        ],
        result=f"all {len(held)} answered at the end; aim: all",
    )


def _size(process: psutil.Process) -> tuple[float, int]:
    return process.memory_info().rss / 2**20, process.num_threads()


def _write(row: Any) -> float:
    """The median (seconds) of some writes."""
    took = []
    for number in range(WRITES):
        started = perf_counter()
        row.create(name="beside", number=number)
        took.append(perf_counter() - started)
    return median(took)
