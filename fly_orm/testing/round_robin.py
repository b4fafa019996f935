"""One address for several Postgres servers, as the reader endpoint of a managed Postgres is."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from time import sleep
from types import TracebackType
from typing import Any

from .server import Server

#: Seconds between two attempts to accept connections.
RETRY_INTERVAL = 0.05


class RoundRobin:
    """Passes each new connection on to the next of the servers that accept one, until it is closed.

    Any thread may call its methods.
    """

    def __init__(self, *servers: Server) -> None:
        self.lead_to(servers)
        self.accepted = 0
        """How many connections there have been."""
        self._turn = itertools.count()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def parameters(self) -> dict[str, Any]:
        """The keyword arguments ``host`` and ``port`` with which ``psycopg2.connect`` comes here."""
        host, port = self._listener.getsockname()
        return {"host": host, "port": port}

    def lead_to(self, servers: Iterable[Server]) -> None:
        """Let new connections reach these servers from now on. Those that are open stay where they are."""
        self._paths = [f"{server.host}/.s.PGSQL.{server.port}" for server in servers]

    def __enter__(self) -> RoundRobin:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Accept no more connections, and end those that are open."""
        for each in (self._listener, *self._sockets.copy()):
            _shut(each)
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                if self._listener.fileno() < 0:
                    return
                sleep(RETRY_INTERVAL)  # the process has no file descriptor left, perhaps
            else:
                self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        self.accepted += 1
        server = self._connect()
        if server is None:  # all of them are down, and the client learns it
            client.close()
            return
        self._sockets |= {client, server}
        for source, target in ((client, server), (server, client)):
            threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _connect(self) -> socket.socket | None:
        paths, first = self._paths, next(self._turn)
        for number in range(len(paths)):
            with suppress(OSError), ExitStack() as undo:
                server = undo.enter_context(socket.socket(socket.AF_UNIX))
                server.connect(paths[(first + number) % len(paths)])
                undo.pop_all()
                return server
        return None

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        _shut(target)
        _shut(source)
        self._sockets.discard(source)
        source.close()


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
