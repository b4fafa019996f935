"""What the middleware of a web framework needs that does not speak WSGI or ASGI, such as Django's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

from ..observing.tracing import Trace, trace
from ..sessions.blocks import session
from ..sessions.context import current, entered
from ..tokens.token import ask, questions
from .carrier import Carrier, is_https
from .middleware import Middleware
from .timing import header

A = TypeVar("A")


class FrameworkMiddleware(Middleware[A]):
    """The base class of such a middleware, which takes the options of :class:`fly_orm.web.WSGIMiddleware`."""

    @contextmanager
    def request(self, environ: Mapping[str, str]) -> Iterator[RequestSession]:
        """A block in which a request is a session that goes on from the client's last one. Thread-safe.

        ``environ`` has the request's headers as WSGI names them, such as ``HTTP_COOKIE``.
        """
        with session(), trace() if self._timing else nullcontext() as timed:
            yield RequestSession(self._carrier, environ, timed)


class RequestSession:
    """The session of one request."""

    def __init__(self, carrier: Carrier, environ: Mapping[str, str], timed: Trace | None) -> None:
        token = environ.get("HTTP_" + carrier.header.upper().replace("-", "_"), "")
        self._received = carrier.resume([environ.get("HTTP_COOKIE", "")], [token])
        self._carrier, self._timed = carrier, timed
        self._forwarded = environ.get("HTTP_X_FORWARDED_PROTO", "")
        self._session = current()

    @property
    def has_questions(self) -> bool:
        """Whether :meth:`ask` would ask a server."""
        return bool(questions(self._session, reads=self._carrier.reads))

    def ask(self) -> None:
        """Ask the local servers for what the token of the response depends on. It may block; any thread may call."""
        ask(self._session, questions(self._session, reads=self._carrier.reads))

    def headers(self, scheme: str) -> list[tuple[str, str]]:
        """The headers of the response: its token, after :meth:`ask`, and what its statements took, if that is wanted.

        ``scheme`` is that of the request, such as https. Statements that follow are not timed.
        """
        https = is_https(scheme, self._forwarded)
        found = self._carrier.headers(self._session, self._received, https=https)
        if self._timed is None:
            return found
        self._timed.end()
        return [*found, *header(self._timed)]

    def entered(self) -> AbstractContextManager[None]:
        """A block that belongs to the session after the request's own has ended, for the parts of a response."""
        return entered(self._session)
