"""Middleware for WSGI applications, such as Flask's and Django's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextvars import Context, copy_context
from typing import Any

from ..observing.tracing import Trace
from ..sessions.activity import ActivityLog
from ..sessions.context import enter
from ..sessions.session import Session
from ..tokens.token import ask, questions
from .carrier import Carrier, is_https
from .middleware import Middleware
from .timing import header

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class WSGIMiddleware(Middleware[Application]):
    """A WSGI application (PEP 3333) in which each request is a session that goes on from the client's last one.

    For Flask: ``app.wsgi_app = WSGIMiddleware(app.wsgi_app)``. After a request that has written, the response carries
    a token in a cookie, whose name begins with ``cookie``, and in the header ``header``. The client sends it with later
    requests, whichever region they reach. It covers what was committed before the first byte of the response. With
    ``reads=True``, responses to requests that only read carry one too, so that no request reads older data than the one
    before. That costs a query to the local server, and shared caches do not store responses with cookies. Tokens that
    are older than ``max_age`` seconds, or forged, are ignored. Thread-safe.

    With ``timing=True``, the header ``Server-Timing`` says how many statements ran here and on the primary before the
    first byte of the response, what they took, and how long they waited for the replica. Browsers' developer tools
    show it. So can everybody who uses the application: leave it off in public.

    Raises ConfigurationError if ``PRIMARY_REGION`` is set and there is no ``FLY_ORM_SECRET``, or the extra ``tokens``
    is not installed, and ValueError for a ``max_age`` that is not a number above 0.
    """

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = _Request(self._carrier, environ, start_response, timing=self._timing)
        try:
            body = request.context.run(self._app, environ, request.start_response)
        except BaseException:
            request.end_timing()
            raise
        if isinstance(body, list | tuple) or _is_file(body, environ):
            request.send_head()
            return body  # it is complete, so no code of the application runs while the server sends it
        wrapped = _Body(request, body)
        try:
            request.send_head()
        except BaseException:
            wrapped.close()
            raise
        return wrapped


def _is_file(body: Iterable[bytes], environ: dict[str, Any]) -> bool:
    """Whether a body is the server's own wrapper of a file (PEP 3333), which it recognises, and may send by itself."""
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(body, wrapper)


class _Request:
    """One request: its context, which has the session, and the head of the response.

    The head is sent as late as possible, and only after the application has returned: by then, frameworks have
    committed, and the token covers the commit.
    """

    def __init__(
        self, carrier: Carrier, environ: dict[str, Any], start_response: Callable[..., Any], *, timing: bool
    ) -> None:
        self.context: Context = copy_context()
        self._carrier = carrier
        self._start_response = start_response
        self._https = is_https(environ.get("wsgi.url_scheme", ""), environ.get("HTTP_X_FORWARDED_PROTO", ""))
        self._head: tuple[str, list[tuple[str, str]]] | None = None
        self._write: Callable[[bytes], Any] | None = None
        self._session = Session(ActivityLog())
        self._trace = Trace() if timing else None
        self.context.run(self._begin, environ)

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        """The function that the application is given as ``start_response``."""
        if self._write is not None:  # the head was sent: PEP 3333 lets the server decide what an exc_info does now
            self._write = self._start_response(status, headers, exc_info)
        else:
            self._head = status, headers
        return self._write_body

    def send_head(self) -> None:
        """Send the head of the response, if the application has set one and it has not been sent."""
        if self._head is not None and self._write is None:
            status, headers = self._head
            self._write = self._start_response(status, [*headers, *self._token(), *self.end_timing()])

    def end_timing(self) -> list[tuple[str, str]]:
        """The header with what the statements so far have taken, if it is wanted. Later ones are not traced."""
        if self._trace is None:
            return []
        self._trace.end()
        return header(self._trace)

    def _begin(self, environ: dict[str, Any]) -> None:
        enter(self._session)
        if self._trace is not None:
            self._trace.begin()
        token = environ.get("HTTP_" + self._carrier.header.upper().replace("-", "_"), "")
        self._received = self._carrier.resume([environ.get("HTTP_COOKIE", "")], [token])

    def _token(self) -> list[tuple[str, str]]:
        ask(self._session, questions(self._session, reads=self._carrier.reads))
        return self._carrier.headers(self._session, self._received, https=self._https)

    def _write_body(self, data: bytes) -> None:
        self.send_head()
        if self._write is not None:
            self._write(data)


class _Body:
    """The body of a response. Each part of it is produced in the context of the request.

    Otherwise a generator, which runs while the server iterates over it, would run in another session.
    """

    def __init__(self, request: _Request, body: Iterable[bytes]) -> None:
        self._request = request
        self._body = body
        self._parts: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        part = self._request.context.run(self._next)
        self._request.send_head()
        if part is None:
            raise StopIteration
        return part

    def close(self) -> None:
        """Close the application's body."""
        self._request.end_timing()
        close = getattr(self._body, "close", None)
        if close is not None:
            self._request.context.run(close)

    def _next(self) -> bytes | None:
        if self._parts is None:
            self._parts = iter(self._body)
        return next(self._parts, None)
