"""Django's middleware: each request is a session, which goes on from the client's last one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import nullcontext
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings

from fly_orm.observing.tracing import Trace, trace
from fly_orm.sessions.blocks import session
from fly_orm.sessions.context import current, entered
from fly_orm.sessions.session import Session
from fly_orm.tokens.token import ask, questions
from fly_orm.web.carrier import is_https, seen
from fly_orm.web.middleware import Middleware
from fly_orm.web.timing import header as timing_header

Answer = Callable[[Any], Any]


class TokenMiddleware(Middleware[Answer]):
    """Lets users see what they have written, whichever region their next request reaches.

    Put ``"fly_orm_django.middleware.TokenMiddleware"`` first into ``MIDDLEWARE``. After a request that has written, the
    response carries a token in a cookie and in a header, and the client sends it with later requests. The dict
    ``FLY_ORM_MIDDLEWARE`` in the settings may have the options of :class:`fly_orm.web.WSGIMiddleware`, which describes
    them: ``reads``, ``max_age``, ``cookie``, ``header`` and ``timing``. For views of both kinds. Thread-safe.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Answer) -> None:
        super().__init__(get_response, **getattr(settings, "FLY_ORM_MIDDLEWARE", {}))
        self._is_async = bool(iscoroutinefunction(get_response))
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        if self._is_async:
            return self._answer(request)
        with session(), self._timed() as timed:
            own, before = self._resumed(request)
            response = self._app(request)
            ask(own, questions(own, reads=self._carrier.reads))
            return self._finished(request, response, own, before, timed)

    async def _answer(self, request: Any) -> Any:
        with session(), self._timed() as timed:
            own, before = self._resumed(request)
            response = await self._app(request)
            if asked := questions(own, reads=self._carrier.reads):
                await sync_to_async(ask, thread_sensitive=False)(own, asked)
            return self._finished(request, response, own, before, timed)

    def _timed(self) -> Any:
        return trace() if self._timing else nullcontext()

    def _resumed(self, request: Any) -> tuple[Session, object]:
        """The session of the request, and what it has seen before."""
        name = "HTTP_" + self._carrier.header.upper().replace("-", "_")
        self._carrier.resume([request.META.get("HTTP_COOKIE", "")], [request.META.get(name, "")])
        own = current()
        return own, seen(own)

    def _finished(self, request: Any, response: Any, own: Session, before: object, timed: Trace | None) -> Any:
        https = is_https(request.scheme, request.META.get("HTTP_X_FORWARDED_PROTO", ""))
        for name, value in self._carrier.headers(own, before, https=https):
            if name == "Set-Cookie":
                response.cookies.load(value)
            else:
                response.headers[name] = value
        if timed is not None:
            timed.end()
            for name, value in timing_header(timed):
                response.headers[name] = value
        if response.streaming:
            parts = _parts_async if response.is_async else _parts
            response.streaming_content = parts(own, response.streaming_content)
        return response


def _parts(own: Session, content: Any) -> Iterator[Any]:
    """The parts of a response, each of which is produced in the session of the request."""
    iterator = iter(content)
    while True:
        with entered(own):
            try:
                part = next(iterator)
            except StopIteration:
                return
        yield part


async def _parts_async(own: Session, content: Any) -> AsyncIterator[Any]:
    iterator = aiter(content)
    while True:
        with entered(own):
            try:
                part = await anext(iterator)
            except StopAsyncIteration:
                return
        yield part
