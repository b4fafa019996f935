"""Nodes as they answer through NATS."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from dataclasses import replace

from fly_orm import Deadline
from fly_orm.discovery import CachePolicy, Lookup, LookupFailed
from fly_orm.errors import ConfigurationError, FlyOrmError, NotDelivered
from fly_orm.settings import Settings
from fly_orm.topology import Node

from .frames import Frame, Kind
from .link import Link
from .links import Links
from .options import Options
from .subjects import Address, app_of, inbox, is_id, parse_address, region_address, who_subject

#: How long answers are waited for, in seconds: more than twice the way around the world.
ANSWER_TIMEOUT = 1.0
#: And for a connection to NATS.
LINK_TIMEOUT = 5.0

#: No more nodes than this are known, since whoever may hear the question can answer it as often as it likes.
MAX_NODES = 1000

#: The ids of the nodes that serve each name.
Found = Mapping[str, Sequence[str]]


class NatsDiscovery:
    """The nodes of each region. See :class:`fly_orm.discovery.Discovery`.

    A region has one address that all of its nodes share, known without asking. The addresses of single nodes come in
    addition, once the nodes have answered, so that a request which one declines can be sent to another.
    """

    def __init__(
        self, settings: Settings, *, options: Options | None = None, policy: CachePolicy | None = None
    ) -> None:
        self._app = settings.app
        self._links = Links(options or Options.from_environment())
        self._lookup: Lookup[Found] = Lookup(
            "which nodes there are", f"NATS: {who_subject(self._app)}", self._ask, policy or CachePolicy()
        )

    def nodes(self, region: str, deadline: Deadline) -> Sequence[Node]:
        address = region_address(self._app, region)
        try:
            ids = self._lookup.get(Deadline.after(0)).get(address.name, ())
        except NotDelivered:  # nobody has answered yet: all share one address
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
            link = self._links.get(Deadline.after(LINK_TIMEOUT))
            found = link.run(_gather, self._app).result(LINK_TIMEOUT + ANSWER_TIMEOUT)
        except FlyOrmError as error:
            raise LookupFailed(str(error)) from error
        except FutureTimeout:
            raise LookupFailed("nothing, as NATS takes no question at the moment") from None
        return found, ", ".join(f"{len(ids)} of {name}" for name, ids in sorted(found.items())) or "nobody"


async def _gather(link: Link, app: str) -> Found:
    """Who answers within a while."""
    found: dict[Address, None] = {}
    nobody = asyncio.Event()
    number = os.urandom(8)

    def take(_peer: str, frame: Frame | None) -> None:
        if frame is None:
            nobody.set()
        elif frame.kind is Kind.HERE and (node := _node(frame.data, app)) and len(found) < MAX_NODES:
            found[node] = None

    link.answers[number] = take
    try:
        question = Frame(Kind.WHO, number, data=link.id.encode())
        await link.publish_to(who_subject(app), question.encode(), inbox(link.id, "0", number.hex()))
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(nobody.wait(), ANSWER_TIMEOUT)
    finally:
        del link.answers[number]
    return _by_name(found)


def _node(answer: bytes, app: str) -> Address | None:
    """The node of the application that says it is here, or None if the answer names none."""
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
