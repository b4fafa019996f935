"""A connection between two processes that can be stopped at an exact byte, and then be cut, stalled or deafened."""

from __future__ import annotations

import enum
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.matrix.framing import Framing
from tests.support.waiting import PATIENCE, until

#: A part of a message is this long at most. The rest of a large one does not fit into the buffers of the sockets, so
#: that its sender is still sending.
PART_BYTES = 64 * 1024
_RESET = struct.pack("ii", 1, 0)


class Weather(enum.Enum):
    FAIR = "delivered"
    CUT = "connections are dropped and refused"
    STALLED = "bytes are held"
    DEAF = "bytes are swallowed"


class Stop(enum.Enum):
    """Where a message is stopped."""

    UNSENT = "before its first byte is delivered, but all of it was sent"
    PARTLY = "when a part of it has been delivered"
    ARRIVED = "when all of it has been delivered; it does not stop, but this is told"


@dataclass(kw_only=True, eq=False)
class Trap:
    """Stops the next request that contains the mark, or the reply to it."""

    mark: bytes
    stop: Stop
    reply: Callable[[bytes], bool] | None = None
    """Whether a message is the reply to the request that had the mark; None to stop the request itself."""
    sprung: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    drops: bool = False
    """Whether what has not been delivered is lost."""

    def spring(self) -> None:
        """Stop here until the trap is released."""
        self.sprung.set()
        if self.stop is not Stop.ARRIVED:
            self.released.wait(PATIENCE)


class Link:
    """Connections through a listening socket to ``target``, which both are host and port, or the path of a socket."""

    def __init__(self, target: Any, listen: Any, *, up: Framing, down: Framing) -> None:
        self.target = target
        self.up, self.down = up, down
        self.trap: Trap | None = None
        self.changed = threading.Condition()
        self.weather = Weather.FAIR
        self._connections: set[Connection] = set()
        self._listener = _socket(listen)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PART_BYTES)
        self._listener.bind(listen)
        self._listener.listen(64)
        self.address = self._listener.getsockname()
        threading.Thread(target=self._accept, name=f"link {self.address}", daemon=True).start()

    def stop_at(self, trap: Trap) -> Trap:
        """Wait with this trap for the request that has its mark."""
        self.trap = trap
        return trap

    def change(self, weather: Weather) -> None:
        """Let all connections have this weather, those to come too. A healed link drops those that went deaf."""
        with self.changed:
            before, self.weather = self.weather, weather
            if weather is Weather.CUT or before is Weather.DEAF:
                self.drop()
            self.changed.notify_all()

    def drop(self) -> None:
        """End all connections there are."""
        for connection in list(self._connections):
            connection.close()

    @contextmanager
    def losing_target(self) -> Iterator[None]:
        """A block that ends what all connections lead to. Afterwards their clients know, but for one in a trap."""
        before = set(self._connections)
        yield
        until(
            lambda: not [each for each in before & self._connections if not each.trapped],
            "a client does not hear of it",
        )

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self.trap is not None:
            self.trap.released.set()
        self.change(Weather.CUT)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.weather is Weather.CUT:
                _reset(client)
                continue
            connection = Connection(self, client)
            self._connections.add(connection)
            connection.start()

    def forget(self, connection: Connection) -> None:
        self._connections.discard(connection)


class Connection:
    """One connection through the link, and a thread for each direction."""

    def __init__(self, link: Link, client: socket.socket) -> None:
        self._link = link
        self._client = client
        self._server: socket.socket | None = None
        self._lost = False
        self.trapped = False
        """Whether a trap stops what goes through it."""
        self._trap: Trap | None = None
        """The trap for the reply to a request that has passed."""

    def start(self) -> None:
        threading.Thread(target=self._run, name="link up", daemon=True).start()

    def close(self) -> None:
        self._lost = True
        for each in (self._client, self._server):
            if each is not None:
                _reset(each)
        self._link.forget(self)

    def _run(self) -> None:
        try:
            self._hold()
            self._server = _socket(self._link.target)
            self._server.connect(self._link.target)
        except OSError:
            self.close()
            return
        threading.Thread(target=self._pump, args=(self._server, self._client), name="link down", daemon=True).start()
        self._pump(self._client, self._server)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        upward = source is self._client
        framing = self._link.up if upward else self._link.down
        data, before = bytearray(), 0
        try:
            while chunk := source.recv(PART_BYTES):
                data += chunk
                while data and (size := framing(data, before)) is not None:
                    if len(data) < min(size, PART_BYTES):
                        break
                    self._pass_on(data, size, source, sink, upward)
                    before += 1
            self._hold()
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
        if not upward:
            self.close()

    def _pass_on(self, data: bytearray, size: int, source: socket.socket, sink: socket.socket, upward: bool) -> None:
        """Deliver the first message, whose beginning is known, and take it off the data."""
        trap = self._sprung(data, upward)
        if trap is not None and trap.stop is not Stop.ARRIVED:
            if trap.stop is Stop.PARTLY:
                part = min(size // 2, PART_BYTES)
                self._deliver(sink, _take(data, part))
                size -= part
            else:
                _fill(data, size, source)
            self.trapped = True
            trap.spring()
            self.trapped = False
            if trap.drops:
                raise ConnectionAbortedError("what had not arrived is lost")
        self._hold()
        _fill(data, size, source)
        self._deliver(sink, _take(data, size))
        if trap is not None:
            trap.spring()

    def _sprung(self, data: bytearray, upward: bool) -> Trap | None:
        """The trap that this message springs, if any."""
        if not upward:
            trap = self._trap
            if trap is None or trap.reply is None or not trap.reply(bytes(data)):
                return None
            self._trap = None
            return trap
        trap = self._link.trap
        if trap is None or trap.mark not in data:
            return None
        self._link.trap = None
        if trap.reply is None:
            return trap
        self._trap = trap
        return None

    def _deliver(self, sink: socket.socket, data: bytes) -> None:
        self._hold()
        sink.sendall(data)

    def _hold(self) -> None:
        """Wait while nothing goes through the link; OSError if nothing will go through this connection any more."""
        link = self._link
        with link.changed:
            link.changed.wait_for(lambda: self._lost or link.weather not in (Weather.STALLED, Weather.DEAF))
        if self._lost or link.weather is Weather.CUT:
            raise ConnectionAbortedError("the connection is lost")


def _fill(data: bytearray, size: int, source: socket.socket) -> None:
    while len(data) < size:
        chunk = source.recv(PART_BYTES)
        if not chunk:
            raise ConnectionAbortedError("the source ended within a message")
        data += chunk


def _take(data: bytearray, size: int) -> bytes:
    taken = bytes(data[:size])
    del data[:size]
    return taken


def _socket(address: Any) -> socket.socket:
    family = socket.AF_UNIX if isinstance(address, str | Path) else socket.AF_INET
    return socket.socket(family, socket.SOCK_STREAM)


def _reset(sock: socket.socket) -> None:
    """Close a connection so that the peer sees it break."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
