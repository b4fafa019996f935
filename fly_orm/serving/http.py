"""A small HTTP server for what platforms ask of a process: whether it is alive, and whether it is ready."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from ..concurrency.forks import abandon_in_children
from ..concurrency.latch import Latch
from ..concurrency.threads import start_thread
from ..errors import ConfigurationError

log = logging.getLogger("fly_orm.node")

#: Connections that are open at a time, at most. A further one takes the place of the oldest, since a client that sends
#: its request at once needs its place only for a moment.
MAX_CONNECTIONS = 64
#: Seconds in which a client must have sent its request, and received the answer.
CLIENT_TIMEOUT = 5.0
#: The longest head of a request.
MAX_HEAD_BYTES = 8192
_CLOSE_TIMEOUT = 2.0
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
    ConfigurationError if it cannot listen at the address.
    """

    def __init__(self, address: str, routes: Mapping[str, Route]) -> None:
        self._routes = routes
        self._listener = _listen(address)
        self._connections: dict[asyncio.Task[None], None] = {}
        """The tasks of the connections, the oldest first."""
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ended = Latch()
        abandon_in_children(self)
        start_thread(self._run, "fly_orm http")

    @property
    def address(self) -> str:
        """The address that it listens at, with the port."""
        host, port = self._listener.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def close(self) -> None:
        """Stop listening and close all connections. May be called twice."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._stop.set)
        self._ended.wait(_CLOSE_TIMEOUT)

    def abandon(self) -> None:
        """Leave the address to the parent after a fork."""
        self._listener.close()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()
            self._ended.set()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accepted, sock=self._listener, limit=MAX_HEAD_BYTES)
        await self._stop.wait()
        server.close()
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await asyncio.sleep(0)  # the sockets are closed in the next round of the loop

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= MAX_CONNECTIONS:
            oldest = next(iter(self._connections))
            del self._connections[oldest]
            oldest.cancel()
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a coroutine is run by a task
        self._connections[task] = None
        try:
            await asyncio.wait_for(self._answer(reader, writer), CLIENT_TIMEOUT)
        except (OSError, EOFError, asyncio.TimeoutError):
            pass  # the client has left, or is too slow
        finally:
            self._connections.pop(task, None)
            writer.transport.abort()

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


def _listen(address: str) -> socket.socket:
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match["port"]) > 65535:
        raise ConfigurationError(
            f"{address!r} is not an address for HTTP: write host:port, such as '[::]:8080' or '127.0.0.1:8080'"
        )
    try:
        info = socket.getaddrinfo(
            match["ipv6"] or match["host"] or "::", int(match["port"]), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(info[4][:2], family=info[0], dualstack_ipv6=info[4][0] == "::")
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen for HTTP at {address!r}: {error}; choose a free port and an address of this machine"
        ) from error
