"""Django's middleware: each request is a session, which goes on from the client's last one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings

from fly_orm.web import FrameworkMiddleware, RequestSession

Answer = Callable[[Any], Any]


class TokenMiddleware(FrameworkMiddleware[Answer]):
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
        with self.request(request.META) as own:
            response = self._app(request)
            own.ask()
            return _finished(request, response, own)

    async def _answer(self, request: Any) -> Any:
        with self.request(request.META) as own:
            response = await self._app(request)
            if own.has_questions:
                await sync_to_async(own.ask, thread_sensitive=False)()
            return _finished(request, response, own)


def _finished(request: Any, response: Any, own: RequestSession) -> Any:
    for name, value in own.headers(request.scheme):
        if name == "Set-Cookie":
            response.cookies.load(value)
        else:
            response.headers[name] = value
    if response.streaming:
        parts = _parts_async if response.is_async else _parts
        response.streaming_content = parts(own, response.streaming_content)
    return response


def _parts(own: RequestSession, content: Any) -> Iterator[Any]:
    """The parts of a response, each of which is produced in the session of the request."""
    iterator = iter(content)
    while True:
        with own.entered():
            try:
                part = next(iterator)
            except StopIteration:
                return
        yield part


async def _parts_async(own: RequestSession, content: Any) -> AsyncIterator[Any]:
    iterator = aiter(content)
    while True:
        with own.entered():
            try:
                part = await anext(iterator)
            except StopAsyncIteration:
                return
        yield part
