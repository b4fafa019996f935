"""Finds nodes by asking through NATS which there are."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from fly_orm import Deadline
from fly_orm.discovery import CachePolicy, Lookup, LookupFailed
from fly_orm.errors import ConfigurationError, FlyOrmError, NotDelivered
from fly_orm.settings import Settings
from fly_orm.topology import Node

from .connect_options import ConnectOptions
from .connection import NatsConnection
from .frames import Frame, Kind
from .job import NotInTime
from .shared_connection import SharedConnection
from .subjects import Address, app_of, inbox, is_id, parse_address, region_address, who_subject

#: Seconds to wait for answers: more than two round trips around the world.
ANSWER_TIMEOUT = 1.0
#: Seconds to wait for a connection to NATS.
CONNECTION_TIMEOUT = 5.0

#: The most nodes to remember, since anyone who may hear the question can answer it as often as they like.
MAX_NODES = 1000

#: The ids of the nodes that serve each name.
Found = Mapping[str, Sequence[str]]


class NatsDiscovery:
    """The nodes of each region. See :class:`fly_orm.discovery.Discovery`.

    All nodes of a region share one address, which is known without asking. Once the nodes have answered, the addresses
    of single nodes are known as well, so that a request that one node declines can be sent to another.
    """

    def __init__(
        self, settings: Settings, *, options: ConnectOptions | None = None, policy: CachePolicy | None = None
    ) -> None:
        self._app = settings.app
        self._shared = SharedConnection(options or ConnectOptions.from_environment())
        self._lookup: Lookup[Found] = Lookup(
            "which nodes there are", f"NATS: {who_subject(self._app)}", self._ask, policy or CachePolicy()
        )

    def nodes(self, region: str, deadline: Deadline) -> Sequence[Node]:
        address = region_address(self._app, region)
        try:
            ids = self._lookup.get(Deadline.after(0)).get(address.name, ())
        except NotDelivered:  # no answer yet: the shared address has to do
            ids = ()
        addresses = [address, *(replace(address, id=each) for each in ids)]
        return [Node(region=region, address=str(each)) for each in addresses]

    def regions(self, deadline: Deadline) -> Sequence[str]:
        return sorted({name.rpartition(".")[2] for name in self._lookup.get(deadline)})

    def refresh(self, region: str, deadline: Deadline) -> None:
        self._lookup.refresh(deadline)

    def describe(self, region: str) -> str:
        return f"NATS, as {region_address(self._app, region)}; {self._lookup}"

    def _ask(self) -> tuple[Found, str]:
        try:
            connection = self._shared.get(Deadline.after(CONNECTION_TIMEOUT))
            found = connection.job(_gather, self._app).result(Deadline.after(CONNECTION_TIMEOUT + ANSWER_TIMEOUT))
        except FlyOrmError as error:
            raise LookupFailed(str(error)) from error
        except NotInTime:
            raise LookupFailed("nothing, because the connection to NATS is stuck") from None
        return found, ", ".join(f"{len(ids)} of {name}" for name, ids in sorted(found.items())) or "no node"


async def _gather(connection: NatsConnection, app: str) -> Found:
    """The nodes that answer within ANSWER_TIMEOUT."""
    found: dict[Address, None] = {}
    no_responders = asyncio.Event()
    number = os.urandom(8)

    def receive(_peer: str, frame: Frame | None) -> None:
        if frame is None:
            no_responders.set()
        elif frame.kind is Kind.HERE and (node := _node(frame.data, app)) and len(found) < MAX_NODES:
            found[node] = None

    connection.reply_handlers[number] = receive
    try:
        question = Frame(Kind.WHO, number, data=connection.id.encode())
        await connection.publish_to(who_subject(app), question.encode(), inbox(connection.id, "0", number.hex()))
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(no_responders.wait(), ANSWER_TIMEOUT)
    finally:
        del connection.reply_handlers[number]
    return _by_name(found)


def _node(answer: bytes, app: str) -> Address | None:
    """The node that an answer names; None if it names no node of the application."""
    name, _, node_id = answer.decode("ascii", "replace").partition(" ")
    if not is_id(node_id) or app_of(name) != app:
        return None
    try:
        return parse_address(f"nats:{name}@{node_id}")
    except ConfigurationError:
        return None


def _by_name(nodes: Iterable[Address]) -> Found:
    found: dict[str, list[str]] = {}
    for node in nodes:
        found.setdefault(node.name, []).append(node.id or "")
    return found
