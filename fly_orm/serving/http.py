"""A small HTTP server for what platforms ask of a process: whether it is alive, and whether it is ready."""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import re
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..concurrency.descriptors import SHORTAGES, Spare, descriptor_limit
from ..concurrency.forks import abandon_in_children
from ..concurrency.latch import Latch
from ..concurrency.threads import start_thread
from ..deadline import now
from ..errors import ConfigurationError

log = logging.getLogger("fly_orm.node")

#: Connections that are open at a time, at most; fewer where they would take a great part of the file descriptors. A
#: further one takes the place of the oldest, since a client that sends its request at once needs its own for a moment.
MAX_CONNECTIONS = 64
#: Seconds in which a client must have sent its request, and received the answer.
CLIENT_TIMEOUT = 5.0
#: The longest head of a request.
MAX_HEAD_BYTES = 8192
_CLOSE_TIMEOUT = 2.0
#: Of how many file descriptors of the process this server takes one, at most.
_DESCRIPTOR_SHARE = 8
#: Seconds until the next attempt to accept a client, while the system gives no descriptor.
_PAUSE = 0.1
#: Seconds for which no second line about that is logged.
_LOG_INTERVAL = 60.0
#: Errors of an address that this machine does not have, although its name stands for it, such as one of IPv6.
_ABSENT = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})
_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[^\]\s]+)\]|(?P<host>[^:\s]*)):(?P<port>[0-9]{1,5})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a request is answered with."""

    status: int
    text: str
    content_type: str = "text/plain; charset=utf-8"


#: Makes the page of a path. It runs on the thread of the server, and must not block it.
Route = Callable[[], Awaitable[Page]]

_PHRASES = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class HttpServer:
    """Answers GET and HEAD on a thread of its own, from a table of paths. Each connection carries one request.

    Clients need not prove anything, so all that they can take is bounded: connections, bytes and time.
    """

    def __init__(self, listeners: Sequence[socket.socket], routes: Mapping[str, Route]) -> None:
        """``listeners`` are those of :func:`listen`; the server closes them."""
        self._routes = routes
        self._listeners = listeners
        self._connections: dict[asyncio.Task[None], None] = {}
        """The tasks of the connections, the oldest first."""
        self._loop = asyncio.new_event_loop()
        self._most = int(min(MAX_CONNECTIONS, max(1, descriptor_limit() / _DESCRIPTOR_SHARE)))
        self._spare = Spare()
        self._shortage_logged_at = -math.inf
        self._stop = asyncio.Event()
        self._ended = Latch()
        abandon_in_children(self)
        start_thread(self._run, "fly_orm http")

    @property
    def address(self) -> str:
        """The address that it listens at, with the port; the first one, if there are several."""
        host, port = self._listeners[0].getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def close(self) -> None:
        """Stop listening and close all connections. May be called twice."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._stop.set)
        self._ended.wait(_CLOSE_TIMEOUT)

    def abandon(self) -> None:
        """Leave the address to the parent after a fork."""
        self._close_listeners()
        self._spare.give_up()

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.close()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()
            self._ended.set()

    async def _serve(self) -> None:
        accepting = [self._loop.create_task(self._accept(listener)) for listener in self._listeners]
        await self._stop.wait()
        ending = [*accepting, *self._connections]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self._close_listeners()
        self._spare.give_up()
        await asyncio.sleep(0)  # the sockets are closed in the next round of the loop

    async def _accept(self, listener: socket.socket) -> None:
        """Accept clients. A server of asyncio would fail, and log it, a hundred times at once without descriptors."""
        while True:
            try:
                connection, _ = await self._loop.sock_accept(listener)
            except OSError as error:
                if error.errno not in SHORTAGES:
                    await asyncio.sleep(_PAUSE)
                    continue
                self._log_shortage(error)
                if (accepted := self._accepted_in_need(listener)) is None:
                    await self._wait_for_descriptor()
                    continue
                connection = accepted
            if len(self._connections) >= self._most:
                self._end_oldest()
            task = self._loop.create_task(self._attend(connection))
            self._connections[task] = None
            await asyncio.sleep(0)  # so that the task begins, and closes the connection however it ends

    def _log_shortage(self, error: OSError) -> None:
        if self._shortage_logged_at > now() - _LOG_INTERVAL:
            return
        self._shortage_logged_at = now()
        log.warning(
            "cannot accept all connections for HTTP at %s: %s. (This is logged once a minute; raise the limit, for "
            "instance with `ulimit -n`.)",
            self.address,
            error,
            extra={"event": "connections_refused", "address": self.address, "problem": str(error)},
        )

    def _accepted_in_need(self, listener: socket.socket) -> socket.socket | None:
        """A client that waits while there are no descriptors, if there is a spare one for it."""
        if not self._spare.give_up():
            return None
        try:
            connection, _ = listener.accept()
        except OSError:  # another thread has the descriptor
            return None
        connection.setblocking(False)
        return connection

    async def _wait_for_descriptor(self) -> None:
        """Wait until a client that has one is gone, or send the oldest away; without any, for a moment."""
        if not self._connections:
            await asyncio.sleep(_PAUSE)
        else:
            gone, _ = await asyncio.wait(list(self._connections), timeout=_PAUSE, return_when=asyncio.FIRST_COMPLETED)
            if not gone:
                self._end_oldest()
        self._spare.take()

    def _end_oldest(self) -> None:
        if self._connections:
            oldest = next(iter(self._connections))
            del self._connections[oldest]
            oldest.cancel()

    async def _attend(self, connection: socket.socket) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a coroutine is run by a task
        try:
            reader, writer = await asyncio.open_connection(sock=connection, limit=MAX_HEAD_BYTES)
            try:
                await asyncio.wait_for(self._answer(reader, writer), CLIENT_TIMEOUT)
            finally:
                writer.transport.abort()
        except (OSError, EOFError, asyncio.TimeoutError):
            pass  # the client has left, or is too slow
        finally:
            self._connections.pop(task, None)
            self._loop.call_soon(self._spare.take)  # after the connection is closed

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            head = b""
        method, page = await self._page(head)
        writer.write(_encoded(page, with_text=method != "HEAD"))
        await writer.drain()
        writer.write_eof()
        while await reader.read(MAX_HEAD_BYTES):  # to close with unread bytes would make the client lose the answer
            pass

    async def _page(self, head: bytes) -> tuple[str, Page]:
        words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return "", Page(status=400, text="this is not an HTTP/1.1 request")
        method, path = words[0], words[1].partition("?")[0]
        route = self._routes.get(path)
        if route is None:
            return method, Page(status=404, text=f"try {', '.join(self._routes)}")
        if method not in ("GET", "HEAD"):
            return method, Page(status=405, text="use GET")
        try:
            return method, await route()
        except Exception:
            log.exception("could not answer %s", path, extra={"event": "internal_error", "path": path})
            return method, Page(status=500, text="the log says what is wrong")


def _encoded(page: Page, *, with_text: bool) -> bytes:
    text = page.text.encode() + (b"" if page.text.endswith("\n") else b"\n")
    head = (
        f"HTTP/1.1 {page.status} {_PHRASES[page.status]}\r\nContent-Type: {page.content_type}\r\n"
        f"Content-Length: {len(text)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + (text if with_text else b"")


def listen(address: str) -> list[socket.socket]:
    """Sockets that listen at an address: at each that its name stands for. For :class:`HttpServer`.

    ConfigurationError if that is not possible.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match["port"]) > 65535:
        raise ConfigurationError(
            f"{address!r} is not an address for HTTP: write host:port, such as '[::]:8080' or '127.0.0.1:8080'"
        )
    listeners: list[socket.socket] = []
    absent: OSError | None = None
    try:
        for family, where in _meant(match["ipv6"] or match["host"] or "::", int(match["port"])):
            port = listeners[0].getsockname()[1] if listeners else where[1]
            try:
                listeners.append(_listener(family, (where[0], port, *where[2:])))
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
                absent = error
        if not listeners and absent is not None:
            raise absent
    except OSError as error:
        for listener in listeners:
            listener.close()
        raise ConfigurationError(
            f"cannot listen for HTTP at {address!r}: {error}; choose a free port and an address of this machine"
        ) from error
    return listeners


def _meant(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[Any, ...]]]:
    """What a host stands for; ``localhost``, for one, has an address in each version of IP."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, where) for family, _, _, _, where in found))


def _listener(family: socket.AddressFamily, where: tuple[Any, ...]) -> socket.socket:
    listener = socket.create_server(where, family=family, dualstack_ipv6=where[0] == "::")
    listener.setblocking(False)
    return listener
