"""The interface that waits until the local replica has replayed a commit."""

from __future__ import annotations

from typing import Protocol

from .deadline import Deadline
from .lsn import LSN


class LSNWaiter(Protocol):
    """Waits for one replica. Any number of threads may wait at once.

    The entry point is called with a function without arguments that opens another psycopg2 connection to the replica,
    in autocommit mode.
    """

    def wait(self, lsn: LSN, deadline: Deadline) -> LSN:
        """The replica's replay LSN once it is at least ``lsn``.

        ReplicationTimeout if it is not by the deadline, or cannot be asked; NotAReplica if the server is not in
        recovery. Neither says anything against the write, which is committed.
        """
        ...

    def close(self) -> None:
        """Let go of connections; a wait that is under way fails with ReplicationTimeout."""
        ...
