"""Middleware for ASGI applications, such as Starlette's and FastAPI's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import nullcontext
from typing import Any

from ..observing.tracing import Trace, trace
from ..sessions.blocks import session
from ..sessions.context import current
from ..sessions.session import Session
from ..tokens.token import ask, questions
from .carrier import Received, is_https
from .middleware import Middleware
from .timing import header as timing_header

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class ASGIMiddleware(Middleware[Application]):
    """An ASGI application (version 3) in which each request is a session that goes on from the client's last one.

    For Starlette and FastAPI: ``app.add_middleware(ASGIMiddleware)``. Options and errors are those of
    :class:`~fly_orm.web.WSGIMiddleware`. The token covers what was committed before the response started. A WebSocket
    is a session too, but sends no token back. The server must run on asyncio.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        timing = self._timing and scope["type"] == "http"  # nobody gets to see that of a WebSocket
        with session(), trace() if timing else nullcontext() as timed:
            request_session = current()
            received = self._carrier.resume(_values(scope, "cookie"), _values(scope, self._carrier.header))

            async def send_with_token(message: MutableMapping[str, Any]) -> None:
                if message["type"] == "http.response.start":
                    token = await self._token(request_session, received, scope)
                    message = {**message, "headers": [*message.get("headers", ()), *token, *_timing(timed)]}
                await send(message)

            return await self._app(scope, receive, send_with_token)

    async def _token(self, request_session: Session, received: Received, scope: Scope) -> list[tuple[bytes, bytes]]:
        if asked := questions(request_session, reads=self._carrier.reads):
            await asyncio.to_thread(ask, request_session, asked)  # the servers' answers must not block the event loop
        https = is_https(scope.get("scheme", ""), ",".join(_values(scope, "x-forwarded-proto")))
        return _encoded(self._carrier.headers(request_session, received, https=https))


def _timing(timed: Trace | None) -> list[tuple[bytes, bytes]]:
    """The header with what the statements so far have taken, if it is wanted. Later ones are not traced."""
    if timed is None:
        return []
    timed.end()
    return _encoded(timing_header(timed))


def _encoded(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def _values(scope: Scope, header: str) -> list[str]:
    """The values of a header of the request."""
    name = header.lower().encode("latin-1")
    return [value.decode("latin-1") for found, value in scope["headers"] if found.lower() == name]
