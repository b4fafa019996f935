"""One address for several Postgres servers, as the reader endpoint of a managed Postgres is."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any


class RoundRobin:
    """Passes each new connection on to the next of the servers, which listen on Unix sockets."""

    def __init__(self, servers: Sequence[Any]) -> None:
        self._paths = itertools.cycle(f"{server.host}/.s.PGSQL.{server.port}" for server in servers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def parameters(self) -> dict[str, Any]:
        """The connection parameters that lead here."""
        host, port = self._listener.getsockname()
        return {"host": host, "port": port}

    def close(self) -> None:
        for each in (self._listener, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                server = socket.socket(socket.AF_UNIX)
                self._sockets += [client, server]
                try:
                    server.connect(next(self._paths))
                except OSError:  # the server is down, and the client learns it
                    client.close()
                    continue
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=_pump, args=(source, target), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@contextmanager
def round_robin(*servers: Any) -> Iterator[RoundRobin]:
    """An address that leads to these servers in turn, as long as the block lasts."""
    made = RoundRobin(servers)
    try:
        yield made
    finally:
        made.close()
