"""What single things cost here, and what some processes take together: the points that this machine can hold."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from time import perf_counter, sleep
from typing import Any

import psutil

from .. import processor
from ..duration import seconds, times
from ..size.memory import held, size_of
from ..world import NAME, World
from ..writes.ways import Place, connect, through_peewee
from .model import Costs, Deployment
from .paced import paced

#: Idle channels that are opened to find out what one costs.
CHANNELS = times(500, 100)
#: Seconds for which something is observed.
WINDOW = seconds(6, 1.5)
_CLIENTS = f"""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = '{NAME}' AND backend_type = 'client backend' AND backend_start > %s"""


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What some processes took, each second where it is not a number of things."""

    writes: float
    node_cores: float
    caller_cores: float
    channels: int
    primary_connections: int
    replica_connections: int
    questions: float
    memory: float


def costs(world: World, busy: Observed) -> Costs:
    """From a node that has nothing but idle channels, and from some processes that write."""
    pid, address = world.backstage.another_node()
    sleep(1)
    empty, before = size_of(pid), processor.spent(pid)
    with held(address, CHANNELS):
        opened = processor.spent(pid)
        sleep(WINDOW)
        idle = (processor.spent(pid) - opened) / WINDOW / CHANNELS
        full = size_of(pid)
    return Costs(
        node_write=busy.node_cores / busy.writes,
        caller_write=busy.caller_cores / busy.writes,
        handshake=(opened - before) / CHANNELS,
        idle_channel=idle,
        node_memory=empty,
        channel_memory=(full - empty) / CHANNELS,
        questions=busy.questions / busy.writes,
        lease=_lease(world),
    )


def _lease(world: World) -> float:
    """Seconds that a write takes between the request and its reply without a distance: more than a lease, if little."""
    import fly_orm

    with through_peewee()(Place.near(world)) as opens, opens() as write:
        taken = []
        for _ in range(times(200)):
            write()
            served = fly_orm.why()
            assert served
            taken.append(served.rpc)
    return sorted(taken)[len(taken) // 2]


def observed(world: World, given: Deployment) -> Observed:
    """What the processes of one region of this deployment take, over a node of their own."""
    pid, address = world.backstage.another_node()
    place = Place(primary={}, replica=world.reach["replica"], node=world.backstage.far(address))
    with (
        world.apart(given.rtt),
        world.counted() as statements,
        closing(_connect(world, "primary")) as primary,
        closing(_connect(world, "replica")) as replica,
    ):
        begun = _asked(primary, "SELECT clock_timestamp()")
        with paced(place, processes=given.processes, threads=given.threads, rate=given.writes) as running:
            sleep(WINDOW / 3)  # until channels and connections are as many as they become
            running.wrote()
            started, spent, asked = perf_counter(), processor.spent(pid), statements()[1].calls
            sleep(WINDOW)
            wrote, took = running.wrote(), perf_counter() - started
            spent, asked = processor.spent(pid) - spent, statements()[1].calls - asked
            return Observed(
                writes=wrote.writes / took,
                node_cores=spent / took,
                caller_cores=wrote.processor / took,
                channels=_channels(pid, address),
                primary_connections=_asked(primary, _CLIENTS, begun),
                replica_connections=_asked(replica, _CLIENTS, begun),
                questions=asked / took,
                memory=size_of(pid),
            )


def _channels(pid: int, address: str) -> int:
    port = int(address.rpartition(":")[2])
    found = psutil.Process(pid).net_connections(kind="tcp")
    return sum(each.laddr.port == port and each.status == psutil.CONN_ESTABLISHED for each in found)


def _connect(world: World, where: str) -> Any:
    """To a database where its own questions are not counted."""
    return connect({**world.reach[where], "dbname": "postgres"})


def _asked(connection: Any, query: str, *arguments: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(query, arguments)
        return cursor.fetchone()[0]
