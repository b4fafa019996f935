"""A socket that encrypts what is sent and decrypts what is received, and otherwise is the socket that it was.

Python's own ``SSLSocket`` will not do for a transport. Its timeouts are per ``recv``, so that a peer which sends a byte
at a time holds a handshake up for as long as it likes. Its ``shutdown`` lets another thread, which is reading, go on
without TLS. It takes no flags, and until Python 3.13 two threads must not use it at a time.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..deadline import Deadline
from .tls_problems import NO_TLS, explain

#: The most that is encrypted, and sent, at a time: what a record of TLS holds.
_RECORD_BYTES = 16 * 1024
#: The most that is received at a time beyond what was asked for. The messages of a handshake are no longer.
_READ_AHEAD_BYTES = 4096
#: Lets a call return instead of wait. Not every system has it.
_AT_ONCE: int = getattr(socket, "MSG_DONTWAIT", 0)
#: Seconds for which a peer that was turned away may take to read why. It could lose that if the socket were closed
#: while something that it has sent is unread.
_LINGER = 1.0
#: How many times in a row a socket that does not block receives in the course of one call, however much the peer sends:
#: others wait for their turn.
_MOST_RECEIVED = 16


class TlsSocket(socket.socket):
    """Takes the place of a connected socket. One thread sends and receives; any may call ``shutdown`` or ``close``.

    ``send``, ``sendall`` and ``recv`` keep to the socket's timeout as a whole, and raise OSError. The handshake is part
    of the first ``recv``, which may be repeated if the socket does not block. With ``MSG_PEEK``, ``recv`` says whether
    something has arrived, and not what. Another thread may send with ``MSG_DONTWAIT``.
    """

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        on_failure: Callable[[str], None] = lambda _problem: None,
    ) -> None:
        """``on_failure`` is called with what went wrong if the handshake fails."""
        super().__init__(sock.family, sock.type, sock.proto, fileno=sock.detach())
        self._context, self._server_side, self._on_failure = context, server_side, on_failure
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._made: ssl.SSLObject | None = None
        self._is_ready = False
        self._state = threading.Lock()  # of the three; nothing waits while it is held
        self._sending = threading.Lock()  # so that records arrive in the order in which they were encrypted

    @property
    def _tls(self) -> ssl.SSLObject:
        """OpenSSL's end of the connection. Made when it is needed: a silent stranger costs no memory for it."""
        if self._made is None:
            self._made = self._context.wrap_bio(self._incoming, self._outgoing, server_side=self._server_side)
        return self._made

    def handshake(self, deadline: Deadline) -> None:
        """Agree on keys and check the peer's certificate. OSError, which says what to do, if that fails."""
        if self._server_side:
            self._wait_for_hello(deadline)
        try:
            while not self._step():
                self._flush(deadline)
                self._fill(_READ_AHEAD_BYTES, deadline)
            self._flush(deadline)
        except ssl.SSLError as error:
            raise self._failure(error, deadline) from error
        except ConnectionError as error:
            self._on_failure(NO_TLS)
            raise ConnectionResetError(f"{NO_TLS} ({error})") from error
        self._is_ready = True

    def _wait_for_hello(self, deadline: Deadline) -> None:
        """Wait for the first message. A peer that leaves without it, as a load balancer's probe does, is not logged."""
        self._fill(_READ_AHEAD_BYTES, deadline)
        if self._incoming.eof:
            raise ConnectionResetError("the peer closed the connection")

    def _step(self) -> bool:
        """Go on with the handshake; whether it is complete."""
        with self._state:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                return False
            return True

    def _failure(self, error: ssl.SSLError, deadline: Deadline) -> OSError:
        """The error to raise, after the peer has had the time to read the alert."""
        problem = explain(error)
        self._on_failure(problem)
        with suppress(OSError):
            self._flush(deadline)
            self.shutdown(socket.SHUT_WR)
            last, received = deadline.within(_LINGER), 0
            while self._receive(_READ_AHEAD_BYTES, last) and self._may_go_on(received):
                received += 1
        return ConnectionAbortedError(problem)

    def send(self, data: Any, flags: int = 0, /) -> int:
        """Send some of the data, and return how many bytes of it."""
        record = memoryview(data)[:_RECORD_BYTES]
        deadline = Deadline.after(self.gettimeout())
        if not self._sending.acquire(blocking=not flags & _AT_ONCE):
            raise BlockingIOError("another thread is sending")
        try:
            with self._state:
                self._tls.write(record)
                encrypted = self._outgoing.read()
            self._send_all(encrypted, deadline, flags)
        finally:
            self._sending.release()
        return len(record)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Send all of the data."""
        rest, deadline = memoryview(data), Deadline.after(self.gettimeout())
        while rest:
            self._limit(deadline)
            rest = rest[self.send(rest, flags) :]

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """What has arrived, at most ``size`` bytes of it; nothing if the peer has closed the connection."""
        if flags & socket.MSG_PEEK:
            return b"?" if self._has_unread() else super().recv(1, flags)
        deadline = Deadline.after(self.gettimeout())
        if not self._is_ready:
            self.handshake(deadline)
        received = 0
        while True:
            try:
                if arrived := self._decrypt(size):
                    return arrived
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            except ssl.SSLError as error:
                raise ConnectionAbortedError(explain(error)) from error
            if not self._may_go_on(received):
                raise BlockingIOError("it is the turn of others")
            received += 1
            self._fill(size + _READ_AHEAD_BYTES, deadline)

    def _may_go_on(self, received: int) -> bool:
        return received < _MOST_RECEIVED or self.gettimeout() != 0

    def _decrypt(self, size: int) -> bytes:
        """Of what has been received, as much as there is, and as was asked for."""
        arrived = bytearray()
        with self._state:
            while len(arrived) < size:
                try:
                    part = self._tls.read(size - len(arrived))
                    if not part:  # the peer has said that it closes the connection, as OpenSSL says every time
                        raise ssl.SSLZeroReturnError
                    arrived += part
                except ssl.SSLWantReadError:
                    break
                except ssl.SSLError:
                    if not arrived:
                        raise
                    break  # it is raised again when what came before has been read
        return bytes(arrived)

    def _has_unread(self) -> bool:
        with self._state:
            return self._incoming.pending > 0 or (self._made is not None and self._made.pending() > 0)

    def _fill(self, size: int, deadline: Deadline) -> None:
        """Wait for something to decrypt, or the end of the connection."""
        received = self._receive(size, deadline)
        with self._state:
            if received:
                self._incoming.write(received)
            else:
                self._incoming.write_eof()

    def _receive(self, size: int, deadline: Deadline) -> bytes:
        self._limit(deadline)
        return super().recv(size)

    def _flush(self, deadline: Deadline) -> None:
        with self._sending:
            with self._state:
                encrypted = self._outgoing.read()
            self._send_all(encrypted, deadline, 0)

    def _send_all(self, encrypted: bytes, deadline: Deadline, flags: int) -> None:
        rest = memoryview(encrypted)
        while rest:
            self._limit(deadline)
            rest = rest[super().send(rest, flags) :]

    def _limit(self, deadline: Deadline) -> None:
        """Let the next call on the socket end by the deadline. A socket that does not block stays as it is."""
        if self.gettimeout() == 0:
            return
        remaining = deadline.remaining()
        if remaining == 0:
            raise TimeoutError("timed out")
        self.settimeout(None if remaining is None else min(remaining, 1e6))
