"""Requests that a node executes while somebody observes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeVar

from ..deadline import now
from ..observing.event import ids
from ..observing.events import RequestKind
from ..observing.listeners import emit, is_small, listeners
from ..observing.node_events import RequestExecuted, RequestReceived
from ..observing.requests import KINDS, subject_of
from ..protocol.messages import Call, Declined, Done, Reply, Request, Run

R = TypeVar("R", bound=Reply)


class Executing:
    """A block in which a request is executed."""

    def __init__(self, kind: RequestKind, peer: str, request: Request) -> None:
        self._about: dict[str, Any] = {"id": next(ids), "kind": kind, "peer": peer, **subject_of(request)}
        self._context = request.context if isinstance(request, Run | Call) and is_small(request.context) else {}
        self._started = now()
        self._reply: Reply | None = None
        self.raised: str | None = None
        """The name of the class of what the function has raised."""

    def __enter__(self) -> Executing:
        if listeners.request_received:
            emit(RequestReceived(**self._about, context=self._context))
        return self

    def replied(self, reply: R) -> R:
        """Note the reply, and return it."""
        self._reply = reply
        return reply

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: TracebackType | None) -> None:
        if not listeners.request_executed:
            return
        with suppress(Exception):  # whatever may be wrong with the report, the request is executed
            reply, raised = self._reply, self.raised if error is None else type(error).__name__
            if isinstance(reply, Done) and reply.error is not None:
                raised = reply.error.sqlstate or reply.error.driver_class
            declined, why = (reply.reason, reply.message) if isinstance(reply, Declined) else (None, "")
            seconds = now() - self._started
            emit(RequestExecuted(**self._about, seconds=seconds, declined=declined, error=raised, why=why))


def observed(handle: Callable[[Request], Reply], peer: str, request: Request) -> Reply:
    """The reply of ``handle``. Calls are observed where the function runs."""
    kind = None if isinstance(request, Call) else KINDS.get(type(request))
    if kind is None:
        return handle(request)
    with Executing(kind, peer, request) as executing:
        return executing.replied(handle(request))
