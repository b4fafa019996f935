"""The interface that waits until the local replica has replayed a commit."""

from __future__ import annotations

from typing import Protocol

from .deadline import Deadline
from .lsn import LSN


class LSNWaiter(Protocol):
    """Waits for one replica. Any number of threads may wait at once.

    The entry point (group ``fly_orm.waiters``) is called with a function that takes no arguments and opens a new
    psycopg2 connection to the replica, in autocommit mode.

    A waiter may also have a method ``check(version)``. It is called for each connection that the application opens to a
    replica, with the version of the server as an integer (190002 is PostgreSQL 19.2), and raises ConfigurationError if
    the waiter cannot wait for such a server. The application gets the error then, and not after its first write.
    """

    def wait(self, lsn: LSN, deadline: Deadline) -> LSN:
        """The replica's replay LSN, as soon as it is at least ``lsn``.

        ReplicationTimeout if it is not by the deadline, or if the replica cannot be asked; NotAReplica if the server is
        not in recovery. In both cases the write is committed all the same.
        """
        ...

    def close(self) -> None:
        """Close the connections, and return soon. A wait in progress fails with ReplicationTimeout.

        Also called when nobody has waited for some seconds. Another waiter is made for the next wait.
        """
        ...
