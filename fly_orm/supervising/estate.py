"""What the workers of a node inherit from their supervisor."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from ..sharing.board import Board
from ..sharing.inheritance import Inheritance

if TYPE_CHECKING:
    from ..serving.http import Page
    from .shared_metrics import SharedMetrics


class Estate:
    """The sockets and the memory that the workers share, which outlive each of them. The main thread uses it."""

    def __init__(self, workers: int, transport: str, address: str, listeners: Sequence[socket.socket]) -> None:
        self.metrics: SharedMetrics | None = None
        """What the workers count, if they do."""
        self._transport, self._address = transport, address
        self._workers = workers
        self._listeners = list(listeners)
        self.board = Board.make(workers)
        self._mail = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(workers)]

    def bequeath(self, number: int) -> tuple[Inheritance, Connection, Connection]:
        """What a new worker inherits, and both ends of its leash, of which it has the second one."""
        own, theirs = Pipe()
        self.board.clear(number)
        inherited = Inheritance(
            number=number,
            workers=self._workers,
            transport=self._transport,
            address=self._address,
            leash=theirs.fileno(),
            board=self.board.fd,
            listeners=tuple(each.fileno() for each in self._listeners),
            inbox=self._mail[number][0].fileno(),
            outboxes=tuple(outbox.fileno() for _, outbox in self._mail),
        )
        return inherited, own, theirs

    def keep_metrics(self) -> Callable[[], Page]:
        """Have workers that start from now on keep metrics; what makes the page with those of all.

        ImportError, which says what to install, without the extra.
        """
        from .shared_metrics import SharedMetrics

        self.metrics = SharedMetrics()
        return self.metrics.page

    def stop_listening(self) -> None:
        """Leave the address to the workers, so that nobody waits there once they have closed it."""
        for listener in self._listeners:
            listener.close()
        self._listeners = []

    def close(self) -> None:
        """Close everything here; the workers keep what they have."""
        self.stop_listening()
        if self.metrics is not None:
            self.metrics.close()
        os.close(self.board.fd)
        for ends in self._mail:
            for end in ends:
                end.close()
