"""``fly-orm serve --workers``, as tests look at it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import psutil

from fly_orm.deadline import Deadline
from fly_orm.errors import NotDelivered, OutcomeUnknown
from fly_orm.forwarding.sealed_channel import SealedChannel, open_channel
from fly_orm.protocol.messages import Declined, Inspect
from fly_orm.registry import make_transport
from fly_orm.testing.processes import living
from fly_orm.topology import Node
from tests.support.two_regions import AMPLE, SECRETS, settings
from tests.support.waiting import until

APP = """
import os
from peewee import PostgresqlDatabase
import fly_orm

db = fly_orm.wrap(PostgresqlDatabase("{database}", host="{host}", port={port}, user="{user}"))
"""


def workers_of(pid: int) -> list[psutil.Process]:
    """The workers that run, the oldest first."""
    return sorted(psutil.Process(pid).children(), key=lambda child: child.create_time())


def until_ended(workers: list[psutil.Process]) -> None:
    """Return once none of the workers is left. psutil's own wait may fail for a process that is just ending."""
    until(lambda: not living({worker.pid for worker in workers}), "workers are left")


def channel_to(address: str, **changes: Any) -> SealedChannel:
    """A channel to one of the workers."""
    own = settings("lax", address, **changes)
    transport = make_transport(own.transport, own)
    node = Node(region="syd", address=address)
    return open_channel(transport, node, secrets=SECRETS, region="lax", deadline=Deadline.after(AMPLE))


def worker_behind(channel: SealedChannel) -> int:
    """The number of the worker that a channel leads to, from 1."""
    return channel.request(Inspect(), Deadline.after(AMPLE)).worker


def until_all_serve(address: str, workers: int, **changes: Any) -> None:
    """Wait until each worker has served a channel."""
    found: set[int] = set()

    def look() -> bool:
        channels = [channel_to(address, **changes) for _ in range(workers)]
        found.update(map(worker_behind, channels))
        for channel in channels:
            channel.close()
        return len(found) == workers

    until(look, "not all workers serve")


def channels_by_worker(address: str, each: int, stack: ExitStack) -> dict[int, list[SealedChannel]]:
    """So many channels to each of two workers.

    On a busy machine, one may get more at first, and then closes some of those that are idle.
    """
    found: dict[int, list[SealedChannel]] = {1: [], 2: []}
    while min(map(len, found.values())) < each:
        channel = channel_to(address)
        stack.callback(channel.close)
        found[worker_behind(channel)].append(channel)
        if min(map(len, found.values())) == each:
            for channels in found.values():
                for surplus in channels[each:]:
                    surplus.close()
                channels[:] = [one for one in channels[:each] if _is_open(one)]
    return found


def _is_open(channel: SealedChannel) -> bool:
    try:
        return not isinstance(channel.request(Inspect(), Deadline.after(AMPLE)), Declined)
    except (NotDelivered, OutcomeUnknown):
        return False
