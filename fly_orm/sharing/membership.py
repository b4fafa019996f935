"""A process as one of the workers that serve an address together."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, cast

from ..concurrency.threads import start_thread_or_run
from ..errors import ConfigurationError
from ..settings import Settings
from ..transport import Accept, Responder, Server, Sharing, Transport
from .allowance import Allowance, Places
from .board import Board
from .dividing import default_share, part, part_of_peer
from .inheritance import Inheritance
from .leash import ANSWER, ASK, SERVES, Leash
from .siblings import Siblings
from .slots import Slots
from .turns import Turns

log = logging.getLogger("fly_orm.node")

#: How many problems a worker tells its supervisor, and how much of each text, so that they fit into one message.
_MOST_PROBLEMS, _MOST_CHARACTERS = 10, 400


class Membership:
    """What a worker has inherited. Thread-safe; made once."""

    def __init__(self, inherited: Inheritance, on_lost: Callable[[], None]) -> None:
        """``on_lost`` is called on another thread if the supervisor ends, so that this process does so as well.

        Until :meth:`serves`, it just ends.
        """
        for descriptor in inherited.descriptors:
            os.set_inheritable(descriptor, False)
        self.number, self.workers = inherited.number, inherited.workers
        self._transport, self._address = inherited.transport, inherited.address
        self._listeners = [socket.socket(fileno=descriptor) for descriptor in inherited.listeners]
        self._board = inherited.board
        self.total = self._peer_total = 0
        """How many places of each kind the node has, once that is known."""
        self.turns = Turns(Board(inherited.board, inherited.workers), inherited.number)
        self.siblings = Siblings(
            inherited.number,
            socket.socket(fileno=inherited.inbox),
            [socket.socket(fileno=descriptor) for descriptor in inherited.outboxes],
        )
        self._on_lost = on_lost
        self._problems: Callable[[], Sequence[tuple[str, str]]] | None = None
        self._leash = Leash(Connection(inherited.leash), self._asked, self._lost, "fly_orm supervisor")
        self._leash.start()  # once all of this is there, since a question may wait already

    def limits(self, settings: Settings) -> dict[str, int]:
        """Those of this worker that are a part of the node's, to begin with.

        ConfigurationError if there is not enough for all.
        """
        total = settings.pool_size
        if total < self.workers:
            raise ConfigurationError(
                f"{self.workers} workers cannot share a pool_size of {total}: the connections to the primary are "
                "divided among them, and each needs one; raise FLY_ORM_POOL_SIZE (--pool-size), or start fewer workers "
                "(--workers)"
            )
        self.total = total
        self._peer_total = default_share(total) if settings.peer_leases is None else min(settings.peer_leases, total)
        own = part(total, self.number, self.workers)
        return {"pool_size": own, "peer_leases": self.part_of_peer(own)}

    def part_of_peer(self, size: int) -> int:
        """How many of this worker's places one peer may have, if it has ``size`` of them."""
        return part_of_peer(self._peer_total, size, self.total)

    def allowance(self, number: int, kind: str, places: Places, on_change: Callable[[int], None]) -> Allowance:
        """The places of a kind, which has the same ``number`` in all workers."""
        slots = Slots(self._board, kind=number, total=self.total, number=self.number, workers=self.workers)
        own = part(self.total, self.number, self.workers)
        return Allowance(kind, places, slots, self.siblings, own, on_change)

    def serve(self, transport: Transport, settings: Settings, address: str, accept: Accept) -> Server:
        """A server at the address that the workers share.

        ConfigurationError if the application has chosen another one, or another transport.
        """
        if (settings.transport, address) != (self._transport, self._address):
            raise ConfigurationError(
                f"the application serves at {address!r} by {settings.transport!r}, and its workers were to share "
                f"{self._address!r} by {self._transport!r}: with --workers, choose both by variables (FLY_ORM_LISTEN, "
                "FLY_ORM_TRANSPORT) or options, and not by fly_orm.configure()",
                address=address,
            )
        if self._listeners:
            return cast(Sharing, transport).serve_bound(address, self._listeners, accept, self.turns)
        return transport.serve(address, accept)

    def counting(self, accept: Callable[[str, Callable[[], None]], Responder]) -> Accept:
        """``accept``, with each channel counted until its responder calls the function that it is given."""

        def counted(peer: str) -> Responder:
            self.turns.opened()
            return accept(peer, self.turns.closed)

        return counted

    def serves(self, databases: list[str], address: str, problems: Callable[[], Sequence[tuple[str, str]]]) -> None:
        """Tell the supervisor that this worker serves. ``problems`` tells what keeps it from being ready."""
        self._problems = problems
        self.turns.begin()
        self._leash.send(**{SERVES: databases, "address": address})

    def _asked(self, message: dict[str, Any]) -> None:
        start_thread_or_run(lambda: self._reply(message[ASK]), "fly_orm readiness")

    def _reply(self, number: int) -> None:
        self._leash.send(**{ANSWER: number, "problems": self._found()})

    def _found(self) -> list[tuple[str, str]]:
        """What keeps this worker from being ready. It never raises: the supervisor waits for an answer."""
        if self._problems is None:
            return [("it is starting", "")]
        try:
            problems = self._problems()
        except Exception:
            log.exception("cannot find out whether this worker is ready", extra={"event": "internal_error"})
            return [("the check of its readiness failed; its log says why", "")]
        return [(text[:_MOST_CHARACTERS], detail[:_MOST_CHARACTERS]) for text, detail in problems[:_MOST_PROBLEMS]]

    def _lost(self) -> None:
        if self._problems is None:  # it serves nobody yet
            os._exit(1)
        self._on_lost()
