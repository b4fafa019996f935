"""The interface that waits until the local replica has replayed a commit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from .deadline import Deadline
from .lsn import LSN


class LSNWaiter(Protocol):
    """Waits for one replica. Any number of threads may wait at once."""

    def wait(self, lsn: LSN, deadline: Deadline) -> LSN:
        """The replica's replay LSN once it is at least ``lsn``.

        ReplicationTimeout if it is not by the deadline, or cannot be asked; NotAReplica if the server is not in
        recovery. Neither says anything against the write, which is committed.
        """
        ...

    def close(self) -> None:
        """Let go of connections; a wait that is under way fails with ReplicationTimeout."""
        ...


#: Makes a waiter from a function that opens a new driver connection, in autocommit, to the replica.
WaiterFactory = Callable[[Callable[[], Any]], LSNWaiter]
