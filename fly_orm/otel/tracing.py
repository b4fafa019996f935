"""Makes spans of what is observed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import Token

from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind, StatusCode, Tracer

from ..deadline import wall_clock
from ..observing import (
    CallServed,
    CallStarted,
    Observer,
    ReadFellBack,
    RequestEnded,
    RequestExecuted,
    RequestReceived,
    RequestStarted,
    StatementServed,
    StatementStarted,
    WaitEnded,
)
from . import attributes
from .attributes import Attributes

_NANOSECONDS = 1_000_000_000


class Tracing(Observer):
    """Makes a span of each statement, call, request and wait, and on a node of each request that it executes.

    Between its two events, the span of an operation is the current one, so that what happens meanwhile is its child:
    requests and waits of a statement, and on a node whatever a function does.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._open: dict[int, tuple[trace.Span, Token[contexts.Context]]] = {}
        """By the id of the operation, its span, and what makes the one before it the current span again."""
        self._ended: Callable[[], None] | None = None
        """Called when all spans have ended, once no further one is to begin."""

    def finish(self, ended: Callable[[], None]) -> None:
        """Begin no further span, and call ``ended`` when all have ended: a span must not stay the current one."""
        self._ended = ended
        if not self._open:
            ended()

    def statement_started(self, event: StatementStarted) -> None:
        """Begin the span of a statement."""
        name, found = attributes.of_statement(event)
        self._begin(event.id, name, SpanKind.CLIENT, found)

    def statement_served(self, event: StatementServed) -> None:
        """End the span of a statement."""
        self._end(event.id, attributes.of_served(event), event.sqlstate or event.error)

    def read_fell_back(self, event: ReadFellBack) -> None:
        """Note on the span of a read that it belongs on the replica."""
        trace.get_current_span().set_attribute("fly_orm.fallback", event.because)

    def call_started(self, event: CallStarted) -> None:
        """Begin the span of a call."""
        name = f"call {event.function}"
        self._begin(event.id, name, SpanKind.INTERNAL, {"code.function.name": event.function})

    def call_served(self, event: CallServed) -> None:
        """End the span of a call."""
        self._end(event.id, attributes.of_call(event), event.error)

    def request_started(self, event: RequestStarted) -> Mapping[str, str]:
        """Begin the span of a request, which carries the trace to the node."""
        self._begin(event.id, attributes.method(event), SpanKind.CLIENT, attributes.of_request(event))
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        return carrier

    def request_ended(self, event: RequestEnded) -> None:
        """End the span of a request."""
        self._end(event.id, attributes.of_outcome(event), event.declined or event.error)

    def wait_ended(self, event: WaitEnded) -> None:
        """Make the span of a wait, which is over."""
        ended = int(wall_clock() * _NANOSECONDS)
        found: Attributes = {"db.namespace": event.database, "fly_orm.replica.late": event.late}
        started = ended - int(event.seconds * _NANOSECONDS)
        self._tracer.start_span("wait for the replica", attributes=found, start_time=started).end(ended)

    # On a node

    def request_received(self, event: RequestReceived) -> None:
        """Begin the span of what a node does for a request, in the trace of its caller."""
        context = propagate.extract(event.context)
        self._begin(event.id, attributes.method(event), SpanKind.SERVER, attributes.of_received(event), context=context)

    def request_executed(self, event: RequestExecuted) -> None:
        """End the span of what a node does for a request."""
        self._end(event.id, attributes.of_outcome(event), event.declined or event.error)

    def _begin(
        self, key: int, name: str, kind: SpanKind, found: Attributes, *, context: contexts.Context | None = None
    ) -> None:
        if self._ended is not None:
            return
        span = self._tracer.start_span(name, context, kind, found)
        if span.get_span_context().is_valid:  # otherwise there is no SDK
            self._open[key] = span, contexts.attach(trace.set_span_in_context(span, context))

    def _end(self, key: int, found: Attributes, error: str | None) -> None:
        if (begun := self._open.pop(key, None)) is None:
            return
        span, token = begun
        try:
            if span.is_recording():
                span.set_attributes(found)
                if error is not None:
                    span.set_attribute("error.type", error)
                    span.set_status(StatusCode.ERROR)
            span.end()
        finally:
            contexts.detach(token)
            if self._ended is not None and not self._open:
                self._ended()
