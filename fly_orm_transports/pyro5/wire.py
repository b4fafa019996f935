"""Messages of the Pyro5 protocol over a socket, within a deadline and a size. Pyro5 builds and parses them.

Pyro5's own Proxy and Daemon are not used, for three reasons: their timeouts are per ``recv``; they deserialise what a
stranger sends, in a format that the stranger chooses; and a lost reply looks like a request that was never sent. Here a
payload is opaque bytes under a serializer id of our own, so there is nothing to deserialise.
"""

from __future__ import annotations

import _socket
import select
import socket
import struct
import threading
from contextlib import suppress
from typing import Any

from Pyro5.errors import ProtocolError
from Pyro5.protocol import (
    FLAGS_CORR_ID,
    MSG_CONNECT,
    MSG_CONNECTOK,
    MSG_INVOKE,
    MSG_PING,
    MSG_RESULT,
    ReceivingMessage,
    SendingMessage,
)

from fly_orm.concurrency import at_once
from fly_orm.transport import Deadline, abandon_in_children

from .sockets import limit

__all__ = [
    "CONNECT",
    "CONNECTED",
    "FAILURES",
    "HELLO",
    "INVOKE",
    "RESULT",
    "SERIALIZER_ID",
    "MessageStream",
    "frame",
    "next_message",
]

CONNECT, CONNECTED, INVOKE, RESULT = MSG_CONNECT, MSG_CONNECTOK, MSG_INVOKE, MSG_RESULT
#: Marks a payload as bytes rather than an object. Pyro5's own serializers have the ids 1 to 4.
SERIALIZER_ID = 70
#: The payload of CONNECT and of CONNECTED, the answer to it.
HELLO = b"fly_orm/1"
#: What sending and receiving raise when the connection, or the peer, fails.
FAILURES = (OSError, ProtocolError)

#: Tells the system that more follows at once, so that it may wait until a packet is full. Not every system has it.
_MORE = int(getattr(socket, "MSG_MORE", 0))
#: Where the system does not have it, sending a short message hardly ever waits.
_AT_ONCE = at_once.AT_ONCE
_PEEK = int(socket.MSG_PEEK)
_HEADER: bytes = SendingMessage(MSG_PING, 0, 0, SERIALIZER_ID, b"").data
_HEADER_BYTES = len(_HEADER)
_TAG_BYTES = 6
_SEQ_AT = 10
#: The sequence number of a message, and behind it the size of the payload.
_SEQ_AND_SIZE = struct.Struct("!HI")
_AFTER_AT = _SEQ_AT + _SEQ_AND_SIZE.size
#: What stands before them in a message of each kind, and behind them.
_BEFORE: dict[int, bytes] = {
    kind: SendingMessage(kind, 0, 0, SERIALIZER_ID, b"").data[:_SEQ_AT] for kind in (CONNECT, CONNECTED, INVOKE, RESULT)
}
_AFTER: bytes = _HEADER[_AFTER_AT:]
_CHUNK_BYTES = 256 * 1024
_READ_AHEAD_BYTES = 4096
#: Seconds after which the system lets a thread go on that waits for arrivals, so that it can look at its deadline.
_LOOK_INTERVAL = 0.25
_TIMEVAL = struct.pack("ll", 0, int(_LOOK_INTERVAL * 1e6))


def frame(kind: int, seq: int, payload: bytes) -> bytes:
    """The whole message on the wire.

    Pyro5 has made the header of an empty message, and the rest is filled in. If Pyro5 were given the payload, it would
    compress it where the application has set Pyro5's process-wide COMPRESSION; peers refuse compressed messages.
    """
    return _header(kind, seq, len(payload)) + payload


def _header(kind: int, seq: int, size: int) -> bytes:
    return _BEFORE[kind] + _SEQ_AND_SIZE.pack(seq, size) + _AFTER


def _parse(data: bytes | bytearray, kind: int, max_bytes: int) -> tuple[int, int]:
    """The sequence number, and the size of the payload, of the message that the data begins with.

    ProtocolError unless it is of this kind and no longer than this. Pyro5 parses the headers that :func:`frame` would
    not make.
    """
    seq, size = _SEQ_AND_SIZE.unpack_from(data, _SEQ_AT)
    if size > max_bytes or not (data.startswith(_BEFORE[kind]) and data.startswith(_AFTER, _AFTER_AT)):
        _check(ReceivingMessage(bytes(data[:_HEADER_BYTES])), kind, max_bytes)
    return seq, size


def _check(message: ReceivingMessage, kind: int, max_bytes: int) -> None:
    if message.type != kind:
        raise ProtocolError(f"message type {message.type} instead of {kind}")
    if message.serializer_id != SERIALIZER_ID:
        raise ProtocolError(f"serializer {message.serializer_id} instead of {SERIALIZER_ID}")
    if message.flags & ~FLAGS_CORR_ID or message.annotations_size:
        raise ProtocolError(f"flags {message.flags} and {message.annotations_size} bytes of annotations")
    if message.data_size > max_bytes:
        raise ProtocolError(f"the peer announced {message.data_size} bytes, and {max_bytes} are allowed")


def next_message(data: bytearray, kind: int, max_bytes: int) -> tuple[int, bytes] | None:
    """Remove the message that the data begins with, and return its sequence number and payload.

    None if it is not complete. ProtocolError, as early as possible, unless it is of this kind and no longer than this.
    """
    if len(data) >= _TAG_BYTES:
        ReceivingMessage.validate(bytes(data[:_TAG_BYTES]))
    if len(data) < _HEADER_BYTES:
        return None
    seq, size = _parse(data, kind, max_bytes)
    end = _HEADER_BYTES + size
    if len(data) < end:
        return None
    payload = bytes(data[_HEADER_BYTES:end])
    del data[:end]
    return seq, payload


def _takes_at_once(sock: socket.socket) -> bool:
    """Whether the socket neither waits nor encrypts if it is told not to wait. Those of gevent wait all the same."""
    return bool(_AT_ONCE) and type(sock) is socket.socket and isinstance(sock, _socket.socket)


def _arrivals(sock: socket.socket) -> Any:
    """What waits for arrivals at a socket; None without ``poll()``, or if the socket encrypts, and may hold some."""
    if not (_takes_at_once(sock) and hasattr(select, "poll")):
        return None
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL)
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return poll


class MessageStream:
    """Messages over a connected socket. One thread sends and receives; any may call ``shutdown`` or ``close``."""

    def __init__(self, sock: socket.socket, unread: bytes = b"", *, polls: bool = False) -> None:
        """``unread`` is what has been read from the socket already, and belongs to the next message.

        ``polls`` lets what arrives be waited for by the system's own time limit, and with ``poll()`` at the end of a
        deadline. Python's time limit of a socket takes a system call to set, and makes two of each later one.
        """
        self._sock = sock
        self._arrivals = _arrivals(sock) if polls else None
        self._takes_at_once = _takes_at_once(sock)
        self._unread = unread
        self.may_be_sent = False
        """Whether the peer may have the last message as a whole, and may therefore act on it."""
        self._closing = threading.Lock()
        abandon_in_children(self)

    def send(self, kind: int, seq: int, payload: bytes, deadline: Deadline) -> None:
        """Send the whole message. After an exception, the peer has only a part of it unless :attr:`may_be_sent`.

        The last byte is sent on its own. A signal handler may raise anything, such as a TimeoutError, which is an
        OSError like those of the socket, and it may do so just after the system has taken the bytes.
        """
        self.may_be_sent = False
        if self._arrivals is not None and self._sock.gettimeout() is not None:
            self._sock.settimeout(None)
        if deadline.expired:
            raise TimeoutError("timed out")
        data: bytes | memoryview
        if len(payload) < _CHUNK_BYTES:
            data = frame(kind, seq, payload)
        else:  # without a copy
            self._send_all(_header(kind, seq, len(payload)), deadline, _MORE)
            data = memoryview(payload)
        self._send_all(data[:-1], deadline, _MORE)
        self.may_be_sent = True
        self._send_all(data[-1:], deadline, 0)

    def reply(self, kind: int, seq: int, payload: bytes, timeout: float) -> None:
        """Send the whole message, at less cost than :meth:`send`, and without telling how much of it was sent.

        TimeoutError if the peer does not take it within so many seconds.
        """
        header = _header(kind, seq, len(payload))
        if len(payload) >= _CHUNK_BYTES:  # without a copy
            self._send_slowly(header, payload, timeout)
            return
        data, sent = header + payload, 0
        if self._takes_at_once:  # mostly all of it, and without a time limit to be set
            try:  # noqa: SIM105  # suppress() would take longer
                sent = at_once.send(self._sock.fileno(), data)
            except BlockingIOError:
                pass
        if sent < len(data):
            self._send_slowly(b"", memoryview(data)[sent:], timeout)

    def _send_slowly(self, start: bytes, rest: bytes | memoryview, timeout: float) -> None:
        limit(self._sock, Deadline.after(timeout))
        if start:
            self._sock.sendall(start, _MORE)
        self._sock.sendall(rest)

    def send_at_once(self, kind: int, seq: int, payload: bytes) -> None:
        """Send a short message if the system takes it without a wait, while another thread may be receiving."""
        with self._closing, suppress(OSError):
            self._sock.send(frame(kind, seq, payload), _AT_ONCE)

    def finish(self) -> None:
        """Tell the peer that nothing more will be sent. A thread that is receiving goes on."""
        with self._closing, suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def discard(self) -> None:
        """Read, and ignore, what arrives until the peer ends the connection, or :meth:`shutdown` is called."""
        self._sock.settimeout(None)
        while self._sock.recv(_CHUNK_BYTES):
            pass

    def _send_all(self, data: bytes | memoryview, deadline: Deadline, flags: int) -> None:
        sent = 0
        if self._arrivals is not None and isinstance(data, bytes):
            try:
                if (sent := at_once.send(self._sock.fileno(), data, flags)) == len(data):
                    return
            except BlockingIOError:
                pass
        rest = memoryview(data)[sent:]
        while rest:
            limit(self._sock, deadline)
            rest = rest[self._sock.send(rest, flags) :]

    def receive(self, kind: int, max_bytes: int, deadline: Deadline) -> tuple[int, bytes]:
        """The sequence number and payload of the next message, which must be of this kind and no longer than this."""
        if not self._unread:
            self._unread = self._next(_HEADER_BYTES, deadline)
        return self._take(kind, max_bytes) or self._complete(kind, max_bytes, deadline)

    def _next(self, missing: int, deadline: Deadline) -> bytes:
        """What arrives next. What has arrived by the deadline counts."""
        if self._arrivals is not None and self._sock.gettimeout() is not None:
            self._sock.settimeout(None)  # of a deadline that had more time left
        while self._arrivals is not None:
            left = deadline.remaining()
            if left is not None and left < _LOOK_INTERVAL and not self._arrivals.poll(1000 * left):
                raise TimeoutError("timed out")
            try:
                return self._arrived(missing)
            except BlockingIOError:  # it is time to look; or poll() was wrong (poll(2), section BUGS)
                continue
        limit(self._sock, deadline)
        return self._arrived(missing)

    def wait_for(self, kind: int, max_bytes: int, timeout: float) -> tuple[int, bytes]:
        """As :meth:`receive`, however long it takes until the message begins. The rest has ``timeout`` seconds."""
        if not self._unread:
            if self._sock.gettimeout() is not None:
                self._sock.settimeout(None)
            self._unread = self._arrived(_HEADER_BYTES)
        return self._take(kind, max_bytes) or self._complete(kind, max_bytes, Deadline.after(timeout))

    def _take(self, kind: int, max_bytes: int) -> tuple[int, bytes] | None:
        """The message that has been read; None if there is not all of it."""
        data = self._unread
        if len(data) < _HEADER_BYTES:
            return None
        seq, size = _parse(data, kind, max_bytes)
        end = _HEADER_BYTES + size
        if len(data) < end:
            return None
        self._unread = data[end:]
        return seq, data[_HEADER_BYTES:end]

    def _complete(self, kind: int, max_bytes: int, deadline: Deadline) -> tuple[int, bytes]:
        """The message that was read in part, once all of it has arrived."""
        data = bytearray(self._unread)
        self._read(data, _TAG_BYTES, deadline)
        ReceivingMessage.validate(bytes(data[:_TAG_BYTES]))
        self._read(data, _HEADER_BYTES, deadline)
        seq, size = _parse(data, kind, max_bytes)
        end = _HEADER_BYTES + size
        self._read(data, end, deadline)
        self._unread = bytes(data[end:])
        return seq, bytes(memoryview(data)[_HEADER_BYTES:end])

    def _read(self, data: bytearray, size: int, deadline: Deadline) -> None:
        """Read until the data has so many bytes. Memory grows with what arrives, not with what was announced."""
        while len(data) < size:
            if deadline.expired:  # or a peer could go on with one byte after another
                raise TimeoutError("timed out")
            data += self._next(size - len(data), deadline)

    def _arrived(self, missing: int) -> bytes:
        """What has arrived, which may be a little more than is missing, so that a small message takes one call."""
        chunk = self._sock.recv(min(missing, _CHUNK_BYTES) + _READ_AHEAD_BYTES)
        if not chunk:
            raise ConnectionResetError("the peer closed the connection")
        return chunk

    def is_idle(self) -> bool:
        """Whether the connection is open, as far as this end knows, and nothing is waiting to be read.

        Any thread may call while none sends or receives.
        """
        if self._unread:
            return False
        if self._takes_at_once:
            return at_once.is_silent(self._sock.fileno())
        try:
            self._sock.settimeout(0)
            self._sock.recv(1, _PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def shutdown(self) -> None:
        """End the connection, so that the peer and a thread that is waiting here notice."""
        with self._closing, suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the connection and close the socket. May be called twice."""
        self.shutdown()
        with self._closing:
            self._sock.close()

    def abandon(self) -> None:
        """Close the socket in this forked process only; the parent goes on using the connection."""
        self._sock.close()
