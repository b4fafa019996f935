"""The smallest transport for fly_orm: each message is its length, in four bytes, and itself, over a TCP connection."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from urllib.parse import urlsplit

from fly_orm.errors import ConfigurationError, NotDelivered, OutcomeUnknown
from fly_orm.transport import MAX_MESSAGE_BYTES, STRANGER_MAX_MESSAGE_BYTES, STRANGER_TIMEOUT, Accept, Deadline

LENGTH = struct.Struct("!I")
#: More follows at once: a packet that is not full can wait for it. Not every system knows this.
MORE = getattr(socket, "MSG_MORE", 0)
#: A message that has begun is complete after so many seconds.
MESSAGE_TIMEOUT = 30.0
#: How often to look whether the peer is still there while its request is answered, in seconds.
WATCH_INTERVAL = 0.1
#: More than anybody waits, and more than some systems take as a timeout.
FOREVER = 1e6
#: A peer that does not answer probes, or acknowledge what was sent, is given up within seconds.
TCP_OPTIONS = {"NODELAY": 1, "KEEPIDLE": 5, "KEEPINTVL": 2, "KEEPCNT": 3, "USER_TIMEOUT": 6000}


def tune(sock: socket.socket) -> None:
    """A network that is cut is noticed within seconds, and nothing small is held back."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in TCP_OPTIONS.items():
        if hasattr(socket, f"TCP_{name}"):  # not every system has all of them
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_{name}"), value)


def limit(sock: socket.socket, deadline: Deadline) -> None:
    """The next call on the socket ends by the deadline; TimeoutError if that has passed."""
    if deadline.expired:
        raise TimeoutError(f"timed out (time limit: {deadline})")
    remaining = deadline.remaining()
    sock.settimeout(FOREVER if remaining is None else min(remaining, FOREVER))


def send(sock: socket.socket, message: bytes, deadline: Deadline) -> None:
    """The message is on its way."""
    send_bytes(sock, LENGTH.pack(len(message)) + message, deadline)


def send_bytes(sock: socket.socket, data: bytes, deadline: Deadline, flags: int = 0) -> None:
    """All of these bytes are on their way."""
    limit(sock, deadline)
    sock.sendall(data, flags)


def receive(sock: socket.socket, max_bytes: int, deadline: Deadline) -> bytes:
    """The next message; OSError if there is none in time, or it is longer than ``max_bytes``."""
    (length,) = LENGTH.unpack(read(sock, LENGTH.size, deadline))
    if length > max_bytes:
        raise ConnectionAbortedError(f"{length} bytes announced, and {max_bytes} are allowed")
    return read(sock, length, deadline)


def read(sock: socket.socket, size: int, deadline: Deadline) -> bytes:
    """Exactly so many bytes. Memory grows with what arrives, not with what was announced."""
    data = bytearray()
    while len(data) < size:
        limit(sock, deadline)
        chunk = sock.recv(min(size - len(data), 256 * 1024))
        if not chunk:
            raise ConnectionResetError("the peer closed the connection")
        data += chunk
    return bytes(data)


def quiet(sock: socket.socket) -> bool:
    """Whether the connection stands, as far as is known here, and the peer has said nothing out of turn."""
    try:
        sock.settimeout(0)
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


class PigeonChannel:
    """One connection, from the side that opened it."""

    def __init__(self, sock: socket.socket, address: str) -> None:
        self._sock = sock
        self._address = address
        self._pid = os.getpid()
        self._in_use = threading.RLock()

    def exchange(self, request: bytes, deadline: Deadline) -> bytes:
        if os.getpid() != self._pid:
            raise NotDelivered("the channel belongs to the parent process", address=self._address)
        with self._in_use:
            message = LENGTH.pack(len(request)) + request
            try:
                self._send_but_one(message, deadline)
                return self._finish(message, deadline)
            except BaseException:
                self.close()  # or a late reply would be there to be taken for the next one's
                raise

    def _send_but_one(self, message: bytes, deadline: Deadline) -> None:
        """Send all but the last byte, without which the peer cannot act on it."""
        try:
            if len(message) > MAX_MESSAGE_BYTES + LENGTH.size:
                raise ConnectionAbortedError(f"{len(message)} bytes, and {MAX_MESSAGE_BYTES} are allowed")
            if not quiet(self._sock):
                raise ConnectionResetError("the connection was closed")
            send_bytes(self._sock, message[:-1], deadline, MORE)
        except OSError as error:
            raise NotDelivered(
                f"the request was not sent to {self._address}: {error}", address=self._address
            ) from error

    def _finish(self, message: bytes, deadline: Deadline) -> bytes:
        """Send the last byte, and return the reply."""
        try:
            send_bytes(self._sock, message[-1:], deadline)
            return receive(self._sock, MAX_MESSAGE_BYTES, deadline)
        except OSError as error:
            raise OutcomeUnknown(
                f"the request was sent to {self._address}, but no reply came: {error}", address=self._address
            ) from error

    def close(self) -> None:
        if os.getpid() != self._pid:
            self._sock.close()  # of this process only: the parent goes on using the connection
            return
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)  # which ends an exchange under way on another thread
        with self._in_use:
            self._sock.close()


class Connection(threading.Thread):
    """One connection, from the side that accepted it: answers one request after the other."""

    def __init__(self, sock: socket.socket, peer: str, accept: Accept) -> None:
        super().__init__(name=f"pigeon {peer}", daemon=True)
        self._sock = sock
        self._responder = accept(peer)
        self._stranger_deadline = Deadline.after(STRANGER_TIMEOUT)
        self._lock = threading.Lock()
        self._busy = self._draining = False

    def run(self) -> None:
        try:
            tune(self._sock)
            while self._answer_one():
                pass
        except OSError:
            pass  # the peer is gone, or breaks the rules
        finally:
            self._responder.gone()
            self._sock.close()

    def _answer_one(self) -> bool:
        """Whether the connection goes on after one more request."""
        request = self._receive()
        with self._lock:
            if self._draining:
                return False
            self._busy = True
        reply = self._respond(request)
        if reply is None or len(reply) > MAX_MESSAGE_BYTES:
            return False
        send(self._sock, reply, Deadline.after(MESSAGE_TIMEOUT))
        with self._lock:
            self._busy = False
            return not self._draining

    def _receive(self) -> bytes:
        if not self._responder.trusted:
            return receive(self._sock, STRANGER_MAX_MESSAGE_BYTES, self._stranger_deadline)
        self._sock.settimeout(None)
        self._sock.recv(1, socket.MSG_PEEK)  # it may be long until the next request, but then it comes without delay
        return receive(self._sock, MAX_MESSAGE_BYTES, Deadline.after(MESSAGE_TIMEOUT))

    def _respond(self, request: bytes) -> bytes | None:
        """The responder's reply; None if the peer is gone before there is one."""
        replies: SimpleQueue[bytes | None] = SimpleQueue()
        threading.Thread(target=lambda: replies.put(self._responder.respond(request)), daemon=True).start()
        while True:
            try:
                return replies.get(timeout=WATCH_INTERVAL)
            except Empty:
                if not quiet(self._sock):
                    return None

    def drain(self) -> None:
        """The connection ends: at once if it is idle, else when the request being answered has its reply."""
        with self._lock:
            self._draining = True
            if not self._busy:
                self.disconnect()

    def disconnect(self) -> None:
        """The connection ends now."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)


class PigeonServer:
    """Accepts connections, each of which has a thread of its own."""

    def __init__(self, listener: socket.socket, host: str, accept: Accept) -> None:
        self._listener = listener
        self.address = f"{host}:{listener.getsockname()[1]}"
        self._accept = accept
        self._connections: set[Connection] = set()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._accept_all, name=f"pigeon {self.address}", daemon=True)
        self._thread.start()

    def _accept_all(self) -> None:
        self._listener.settimeout(WATCH_INTERVAL)
        while not self._closing.is_set():
            try:
                sock, peer = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:  # such as for want of file descriptors
                self._closing.wait(WATCH_INTERVAL)
                continue
            connection = Connection(sock, f"{peer[0]}:{peer[1]}", self._accept)
            self._connections = {each for each in self._connections if each.is_alive()} | {connection}
            connection.start()
        self._listener.close()

    def close(self, drain_timeout: float) -> None:
        deadline = Deadline.after(drain_timeout)
        self._closing.set()
        self._thread.join()  # no connection is added from here on
        for connection in self._connections:
            connection.drain()
        for connection in self._connections:
            connection.join(deadline.remaining())
        for connection in self._connections:
            connection.disconnect()
        for connection in self._connections:
            connection.join()


class PigeonTransport:
    """Channels over TCP. An address is ``host:port``, with an IPv6 address in brackets."""

    def connect(self, address: str, deadline: Deadline) -> PigeonChannel:
        host, port = parse(address)
        try:
            if deadline.expired:
                raise TimeoutError(f"no time was left of {deadline}")
            remaining = deadline.remaining()
            sock = socket.create_connection((host, port), FOREVER if remaining is None else min(remaining, FOREVER))
        except OSError as error:
            raise NotDelivered(f"cannot connect to {address}: {error}", address=address) from error
        tune(sock)
        return PigeonChannel(sock, address)

    def serve(self, listen: str, accept: Accept) -> PigeonServer:
        host, port = parse(listen)
        try:
            listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        except OSError as error:
            raise ConfigurationError(f"cannot listen at {listen}: {error}", address=listen) from error
        return PigeonServer(listener, listen.rpartition(":")[0], accept)

    def is_local(self, address: str) -> bool:
        with suppress(ValueError):
            return ipaddress.ip_address(parse(address)[0]).is_loopback
        return False  # a name may lead anywhere


def parse(address: str) -> tuple[str, int]:
    """The host, without brackets, and the port; ConfigurationError if the address is malformed."""
    try:
        parts = urlsplit(f"//{address}")
        if parts.netloc == address and parts.hostname and parts.port is not None:
            return parts.hostname, parts.port
    except ValueError:
        pass  # such as a port that is no number
    raise ConfigurationError(f"{address!r} is not an address: write host:port, such as 127.0.0.1:7654", address=address)
