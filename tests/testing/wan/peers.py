"""A server and its clients, which tell what arrives."""

import queue
import socket
import threading

from fly_orm.testing import Wan

PATIENCE = 10.0


Played = tuple[Wan, socket.socket, socket.socket]


def address_of(listener: socket.socket) -> str:
    name = listener.getsockname()
    if isinstance(name, str):
        return name
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"


class EchoServer:
    """Echoes what it gets, and keeps a record of it; one that is not ``answering`` only keeps the record."""

    def __init__(self, listener: socket.socket, answering: bool = True) -> None:
        self.listener = listener
        self.answering = answering
        self.received = queue.Queue[bytes]()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return address_of(self.listener)

    def next(self) -> bytes:
        """The next chunk that came; empty for the end of a connection."""
        return self.received.get(timeout=PATIENCE)

    def next_bytes(self, size: int) -> bytes:
        """As many bytes as that, however they were cut up."""
        got = b""
        while len(got) < size:
            got += self.next()
        return got

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(accepted,), daemon=True).start()

    def _echo(self, accepted: socket.socket) -> None:
        with accepted:
            while chunk := _received(accepted):
                self.received.put(chunk)
                if self.answering:
                    accepted.sendall(chunk)
            self.received.put(b"")


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except ConnectionError:
        return b""


def dial(address: str) -> socket.socket:
    if "/" in address:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        try:
            connection.connect(address)
        except OSError:
            connection.close()
            raise
        return connection
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), PATIENCE)


def ask(client: socket.socket, request: bytes = b"ping") -> bytes:
    """What comes back for ``request``, of its length unless the connection ends."""
    client.sendall(request)
    reply = b""
    while len(reply) < len(request) and (chunk := client.recv(65536)):
        reply += chunk
    return reply


def is_disconnected(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionError:
        return True


def gets_nothing(client: socket.socket) -> bool:
    """Whether nothing comes for a little while: the one thing that can only be seen by waiting."""
    client.settimeout(0.1)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(PATIENCE)
    return False
