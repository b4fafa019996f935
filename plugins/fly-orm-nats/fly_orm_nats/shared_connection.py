"""The current connection of a transport: opened when it is first needed, and replaced when it has been lost."""

from __future__ import annotations

import threading

from fly_orm.transport import Deadline, abandon_in_children

from .connect_options import ConnectOptions
from .connection import NatsConnection
from .connector import Connector, Unreachable


class SharedConnection:
    """One connection at a time, for all channels. Any thread may call, also in a forked process."""

    def __init__(self, options: ConnectOptions) -> None:
        self._connector = Connector(options)
        self._lock = threading.Lock()
        self._current: NatsConnection | None = None

    def get(self, deadline: Deadline) -> NatsConnection:
        """A connection that is open; Unreachable if none can be opened by the deadline."""
        with self._lock:
            connection = self._current
            if connection is None or connection.lost:
                connection = self._current = NatsConnection(self._connector)
                abandon_in_children(self)
                try:
                    connection.start()
                except BaseException as error:
                    self._current = None  # even after an interrupt, when perhaps nobody opens it
                    if isinstance(error, RuntimeError):
                        raise Unreachable(str(error)) from error
                    raise
        connection.wait_until_open(deadline)
        return connection

    def abandon(self) -> None:
        """Leave the connection to the parent process."""
        self._lock = threading.Lock()
        self._current = None
