"""The smallest transport for fly_orm: each message is sent as its length, in four bytes, and itself, over TCP."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from urllib.parse import urlsplit

from fly_orm.errors import ConfigurationError, NotDelivered, OutcomeUnknown
from fly_orm.protocol.tls import Tls
from fly_orm.settings import Settings
from fly_orm.transport import (
    MAX_MESSAGE_BYTES,
    STRANGER_MAX_MESSAGE_BYTES,
    STRANGER_TIMEOUT,
    Accept,
    Deadline,
    parse_options,
)

LENGTH = struct.Struct("!I")
#: Tells the system that more follows at once, so that it may wait until a packet is full. Not every system has it.
MORE = getattr(socket, "MSG_MORE", 0)
#: How often to check, in seconds, whether a peer whose request is being answered is still there.
WATCH_INTERVAL = 0.1
#: Seconds for which the connections of a server that was closed stay open, so that requests on their way are answered.
LINGER = 0.5
#: Seconds: longer than anybody waits, and as long a timeout as every system accepts.
FOREVER = 1e6
#: With these, a peer that answers no probes, or acknowledges nothing that was sent, is given up within seconds.
TCP_OPTIONS = {"NODELAY": 1, "KEEPIDLE": 5, "KEEPINTVL": 2, "KEEPCNT": 3, "USER_TIMEOUT": 6000}


def tune(sock: socket.socket) -> None:
    """Let a cut network be noticed within seconds, and send small messages without delay."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in TCP_OPTIONS.items():
        if hasattr(socket, f"TCP_{name}"):  # not every system has all of them
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_{name}"), value)


def limit(sock: socket.socket, deadline: Deadline) -> None:
    """Let the next call on the socket end by the deadline; TimeoutError if that has passed."""
    if deadline.expired:
        raise TimeoutError(f"timed out (time limit: {deadline})")
    remaining = deadline.remaining()
    sock.settimeout(FOREVER if remaining is None else min(remaining, FOREVER))


def send(sock: socket.socket, message: bytes, deadline: Deadline) -> None:
    """Send a message."""
    send_bytes(sock, LENGTH.pack(len(message)) + message, deadline)


def send_bytes(sock: socket.socket, data: bytes, deadline: Deadline, flags: int = 0) -> None:
    """Send all of these bytes."""
    limit(sock, deadline)
    sock.sendall(data, flags)


def receive(sock: socket.socket, max_bytes: int, deadline: Deadline) -> bytes:
    """The next message; OSError if none arrives by the deadline, or if it is longer than ``max_bytes``."""
    (length,) = LENGTH.unpack(read(sock, LENGTH.size, deadline))
    if length > max_bytes:
        raise ConnectionAbortedError(f"the peer announced {length} bytes, and {max_bytes} are allowed")
    return read(sock, length, deadline)


def read(sock: socket.socket, size: int, deadline: Deadline) -> bytes:
    """Exactly ``size`` bytes. Memory grows with what arrives, not with what the peer has announced."""
    data = bytearray()
    while len(data) < size:
        limit(sock, deadline)
        chunk = sock.recv(min(size - len(data), 256 * 1024))
        if not chunk:
            raise ConnectionResetError("the peer closed the connection")
        data += chunk
    return bytes(data)


def is_idle(sock: socket.socket) -> bool:
    """Whether the connection is open, as far as this end knows, and nothing is waiting to be read."""
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
                self.close()  # or a late reply could be taken for the reply to the next request
                raise

    def _send_but_one(self, message: bytes, deadline: Deadline) -> None:
        """Send all but the last byte, without which the peer cannot act on it."""
        try:
            if len(message) > MAX_MESSAGE_BYTES + LENGTH.size:
                raise ConnectionAbortedError(
                    f"it is {len(message) - LENGTH.size} bytes long, and {MAX_MESSAGE_BYTES} are allowed"
                )
            if not is_idle(self._sock):
                read(self._sock, 1, deadline)  # raises why the connection has ended, if that is what has arrived
                raise ConnectionAbortedError("something has arrived that was not asked for")
            send_bytes(self._sock, message[:-1], deadline, MORE)
        except OSError as error:
            raise NotDelivered(
                f"the request was not sent to {self._address}: {error}", address=self._address
            ) from error

    def _finish(self, message: bytes, deadline: Deadline) -> bytes:
        """Send the last byte, and return the reply."""
        try:
            with suppress(ConnectionError):  # a node that has closed the connection may have sent its last reply before
                send_bytes(self._sock, message[-1:], deadline)
            return receive(self._sock, MAX_MESSAGE_BYTES, deadline)
        except OSError as error:
            raise OutcomeUnknown(
                f"the request was sent to {self._address}, but no reply came: {error}",
                address=self._address,
                problem=str(error),
            ) from error

    def close(self) -> None:
        if os.getpid() != self._pid:
            self._sock.close()  # in this process only: the parent goes on using the connection
            return
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)  # which ends an exchange in progress on another thread
        with self._in_use:
            self._sock.close()


class Connection(threading.Thread):
    """One connection, from the side that accepted it: answers one request after the other."""

    def __init__(self, sock: socket.socket, peer: str, accept: Accept, options: PigeonOptions) -> None:
        super().__init__(name=f"pigeon {peer}", daemon=True)
        self._sock = sock
        self._options = options
        self._responder = accept(peer)
        self._stranger_deadline = Deadline.after(STRANGER_TIMEOUT)
        self._lock = threading.Lock()
        self._busy = self._draining = False
        self.finished = threading.Event()
        """Set once no request is being answered, and none will be."""

    def run(self) -> None:
        try:
            tune(self._sock)
            while self._answer_one():
                pass
            if self.finished.is_set():
                self._discard()
        except OSError:
            pass  # the peer has hung up, or broken the rules
        finally:
            self.finished.set()
            self._responder.gone()
            self._sock.close()

    def _answer_one(self) -> bool:
        """Answer one request; whether the connection stays open for another."""
        request = self._receive()
        with self._lock:
            if self._draining:
                return False
            self._busy = True
        reply = self._respond(request)
        if reply is None or len(reply) > MAX_MESSAGE_BYTES:
            return False
        send(self._sock, reply, Deadline.after(self._options.message_timeout))
        with self._lock:
            self._busy = False
            if self._draining:
                self._finish()
            return not self._draining

    def _receive(self) -> bytes:
        if not self._responder.trusted:
            return receive(self._sock, STRANGER_MAX_MESSAGE_BYTES, self._stranger_deadline)
        self._sock.settimeout(None)
        self._sock.recv(1, socket.MSG_PEEK)  # a request may be long in coming, but must be complete soon
        return receive(self._sock, MAX_MESSAGE_BYTES, Deadline.after(self._options.message_timeout))

    def _respond(self, request: bytes) -> bytes | None:
        """The responder's reply; None if the peer hangs up before there is one."""
        replies: SimpleQueue[bytes | None] = SimpleQueue()
        threading.Thread(target=lambda: replies.put(self._responder.respond(request)), daemon=True).start()
        while True:
            try:
                return replies.get(timeout=WATCH_INTERVAL)
            except Empty:
                if not is_idle(self._sock):
                    return None

    def drain(self) -> None:
        """Answer no further request, and say so: at once, or after the reply to the request being answered."""
        with self._lock:
            self._draining = True
            if not self._busy:
                self._finish()

    def _finish(self) -> None:
        """Answer the request that may be on its way, and send no more."""
        with suppress(OSError):
            if (reply := self._responder.last_reply()) is not None:
                self._sock.sendall(LENGTH.pack(len(reply)) + reply)
            self._sock.shutdown(socket.SHUT_WR if reply is not None else socket.SHUT_RDWR)
        self.finished.set()

    def _discard(self) -> None:
        """Read, and ignore, what arrives until the peer hangs up, or the server disconnects it."""
        self._sock.settimeout(None)
        while self._sock.recv(256 * 1024):
            pass

    def disconnect(self) -> None:
        """End the connection now."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)


class PigeonServer:
    """Accepts connections, each with a thread of its own."""

    def __init__(
        self, listener: socket.socket, host: str, accept: Accept, options: PigeonOptions, tls: Tls | None
    ) -> None:
        self._listener = listener
        self.address = f"{host}:{listener.getsockname()[1]}"
        self._accept = accept
        self._options = options
        self._tls = tls
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
            except OSError:  # for instance when no file descriptor is left
                self._closing.wait(WATCH_INTERVAL)
                continue
            if self._tls is not None:
                sock = self._tls.accepted(sock)  # the handshake is part of the first recv, on the connection's thread
            connection = Connection(sock, f"{peer[0]}:{peer[1]}", self._accept, self._options)
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
            connection.finished.wait(deadline.remaining())
        lingering = deadline.within(LINGER)
        for connection in self._connections:
            connection.join(lingering.remaining())
        for connection in self._connections:
            connection.disconnect()
        for connection in self._connections:
            connection.join()


@dataclass(frozen=True, kw_only=True)
class PigeonOptions:
    """The options of this transport, which ``FLY_ORM_TRANSPORT_OPTIONS`` sets."""

    message_timeout: float = 30.0
    """Seconds within which a message that has begun must be complete; more than 0."""

    def __post_init__(self) -> None:
        if not self.message_timeout > 0:
            raise ValueError(f"message_timeout must be more than 0 seconds, not {self.message_timeout}")


class PigeonTransport:
    """Channels over TCP. An address is ``host:port``, with an IPv6 address in brackets."""

    uses_tls = True

    def __init__(self, settings: Settings | None = None) -> None:
        self._options = parse_options(PigeonOptions, {} if settings is None else settings.transport_options)
        self._tls = None if settings is None else settings.tls()

    def connect(self, address: str, deadline: Deadline) -> PigeonChannel:
        host, port = parse(address)
        try:
            if deadline.expired:
                raise TimeoutError(f"no time was left of {deadline}")
            remaining = deadline.remaining()
            sock = socket.create_connection((host, port), FOREVER if remaining is None else min(remaining, FOREVER))
            if self._tls is not None:
                sock = self._tls.connect(sock, deadline)
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
        return PigeonServer(listener, listen.rpartition(":")[0], accept, self._options, self._tls)

    def is_local(self, address: str) -> bool:
        with suppress(ValueError):
            return ipaddress.ip_address(parse(address)[0]).is_loopback
        return False  # a host name may stand for any machine


def parse(address: str) -> tuple[str, int]:
    """The host, without brackets, and the port; ConfigurationError if the address is malformed."""
    try:
        parts = urlsplit(f"//{address}")
        if parts.netloc == address and parts.hostname and parts.port is not None:
            return parts.hostname, parts.port
    except ValueError:
        pass  # for instance, the port is not a number
    raise ConfigurationError(f"{address!r} is not an address: write host:port, such as 127.0.0.1:7654", address=address)
