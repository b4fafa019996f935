"""Middleware for ASGI applications, such as Starlette's and FastAPI's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ..sessions.blocks import session
from ..sessions.context import current
from ..sessions.session import Session
from ..tokens.token import ask, questions
from .carrier import is_https, seen
from .middleware import Middleware

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class ASGIMiddleware(Middleware[Application]):
    """An ASGI application (version 3) in which each request is a session that goes on from the client's last one.

    ``app.add_middleware(ASGIMiddleware)`` for Starlette and FastAPI. Options and errors are those of
    :class:`~fly_orm.web.WSGIMiddleware`. The token covers what was committed before the response was started. A
    WebSocket is a session as well, which brings no token back. Needs asyncio.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        with session():
            here = current()
            self._carrier.resume(_values(scope, "cookie"), _values(scope, self._carrier.header))
            before = seen(here)

            async def send_with_token(message: MutableMapping[str, Any]) -> None:
                if message["type"] == "http.response.start":
                    token = await self._token(here, before, scope)
                    message = {**message, "headers": [*message.get("headers", ()), *token]}
                await send(message)

            return await self._app(scope, receive, send_with_token)

    async def _token(self, here: Session, before: object, scope: Scope) -> list[tuple[bytes, bytes]]:
        if asked := questions(here, reads=self._carrier.reads):
            await asyncio.to_thread(ask, here, asked)
        https = is_https(scope.get("scheme", ""), ",".join(_values(scope, "x-forwarded-proto")))
        headers = self._carrier.headers(here, before, https=https)
        return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def _values(scope: Scope, header: str) -> list[str]:
    """The values of a request's header."""
    name = header.lower().encode("latin-1")
    return [value.decode("latin-1") for found, value in scope["headers"] if found.lower() == name]
