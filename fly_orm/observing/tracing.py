"""Collects how the statements of a block were served."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from types import TracebackType

from ..concurrency.forks import abandon_in_children
from .events import CallServed, StatementServed
from .listeners import Observation, observation_of, observe
from .observer import Observer
from .route import Route

#: The longest statement (characters) that a trace shows when it is printed.
_SHOWN = 80
_HEADINGS = ("", "route", "kind", "rows", "ms", "rpc", "wait", "where", "statement")

_traces: ContextVar[tuple[Trace, ...]] = ContextVar("fly_orm_traces", default=())


class Trace:
    """The statements and calls of a block, in the order in which they ended; made by :func:`trace`.

    It may be read while it grows. ``print(trace)`` shows a table.
    """

    def __init__(self) -> None:
        self.events: list[StatementServed | CallServed] = []
        """Statements and calls of functions. Those of a function that runs here are before its call."""
        self._is_open = False

    @property
    def statements(self) -> list[StatementServed]:
        """How each statement was served. What a function has executed on another node is not among them."""
        return [event for event in list(self.events) if isinstance(event, StatementServed)]

    @property
    def calls(self) -> list[CallServed]:
        """How each call of a function was served."""
        return [event for event in list(self.events) if isinstance(event, CallServed)]

    @property
    def local(self) -> int:
        """How many statements this region's server has executed."""
        return sum(event.statements for event in self.statements if event.route is Route.LOCAL)

    @property
    def primary(self) -> int:
        """How many statements the primary has executed for another region than its own, those of calls included."""
        here = sum(event.statements for event in self.statements if event.route is Route.PRIMARY)
        return here + sum(event.statements or 0 for event in self.calls if event.route is Route.PRIMARY)

    @property
    def round_trips(self) -> int:
        """How many requests to other regions were answered; all the pieces of a result or a COPY are one."""
        return sum(event.round_trips for event in self.statements) + sum(event.rpc > 0 for event in self.calls)

    @property
    def rpc(self) -> float:
        """Seconds between sending requests to other regions and receiving the replies."""
        return sum(event.rpc for event in list(self.events))

    @property
    def waited(self) -> float:
        """Seconds spent waiting for the replica."""
        return sum(event.wait for event in list(self.events))

    @property
    def total(self) -> float:
        """Seconds that all of it took. A function that runs here counts by its statements."""
        calls = sum(event.total for event in self.calls if event.route is not Route.LOCAL)
        return sum(event.total for event in self.statements) + calls

    def taken(self, *routes: Route) -> float:
        """Seconds of :attr:`total` that statements and calls by these routes took, without waits for the replica."""
        calls = [call for call in self.calls if call.route is not Route.LOCAL]
        events: list[StatementServed | CallServed] = [*self.statements, *calls]
        return sum(event.total - event.wait for event in events if event.route in routes)

    @property
    def errors(self) -> int:
        """How many statements and calls have raised an exception."""
        return sum(event.error is not None for event in list(self.events))

    def __str__(self) -> str:
        rows = [_row(number, event) for number, event in enumerate(list(self.events), 1)]
        return "\n".join([self.summary, *_aligned([_HEADINGS, *rows])] if rows else [self.summary])

    @property
    def summary(self) -> str:
        """The sums in one line."""
        count, trips = self.local + self.primary, self.round_trips
        return (
            f"{count} statement{'s' * (count != 1)} in {_ms(self.total)} ms: {self.local} local, {self.primary} on the "
            f"primary; {trips} round trip{'s' * (trips != 1)} ({_ms(self.rpc)} ms), waited {_ms(self.waited)} ms"
        )

    def __repr__(self) -> str:
        return f"<Trace: {self.summary}>"

    def begin(self) -> Trace:
        """Collect what this context does from now on, until :meth:`end`. A ``with`` block is usually the better way."""
        self._is_open = True
        _traces.set((*_open_traces(), self))
        _collector.begin(self)
        return self

    def end(self) -> None:
        """Collect nothing more. Any context may do so, more than once."""
        self._is_open = False
        _traces.set(_open_traces())  # without a token: traces may end in any order
        _collector.end(self)

    def collect(self, event: StatementServed | CallServed) -> None:
        """Add an event, unless the block is over."""
        if self._is_open:
            self.events.append(event)

    def __enter__(self) -> Trace:
        return self.begin()

    def __exit__(self, _kind: object, _error: BaseException | None, _traceback: TracebackType | None) -> None:
        self.end()


def _open_traces() -> tuple[Trace, ...]:
    """The traces of this context, without those that have ended, as some may have done in another one."""
    return tuple(each for each in _traces.get() if each._is_open)


def trace() -> Trace:
    """A block whose statements and calls are collected: ``with fly_orm.trace() as trace:``.

    They are those of this context: of the thread or the task, of tasks that are started in the block, and of threads
    that run in a copy of its context, as with ``asyncio.to_thread``. Blocks may be nested. :class:`Trace` tells what
    was collected.
    """
    return Trace()


class _Collector(Observer):
    """Passes events to the traces of the context in which they happen. It observes while there are any. Fork-safe."""

    def __init__(self) -> None:
        self._open: set[Trace] = set()
        self._observation: Observation | None = None
        self._replace_lock()

    def _replace_lock(self) -> None:
        self._lock = threading.Lock()
        abandon_in_children(self)

    def abandon(self) -> None:
        """Go on in a forked child, without the traces of the parent's other threads."""
        self._open = self._open.intersection(_traces.get())
        self._observation = observation_of(self)  # another thread may have been about to note it
        self._replace_lock()

    def begin(self, trace: Trace) -> None:
        with self._lock:
            self._open.add(trace)
            if self._observation is None:
                self._observation = observe(self)

    def end(self, trace: Trace) -> None:
        with self._lock:
            self._open.discard(trace)
            if not self._open and self._observation is not None:
                self._observation.end()
                self._observation = None

    def statement_served(self, event: StatementServed) -> None:
        for each in _traces.get():
            each.collect(event)

    def call_served(self, event: CallServed) -> None:
        for each in _traces.get():
            each.collect(event)


_collector = _Collector()


def _row(number: int, event: StatementServed | CallServed) -> tuple[str, ...]:
    kind: str
    if isinstance(event, StatementServed):
        kind, rows, what = event.kind, "" if event.rows < 0 else str(event.rows), event.sql
        where, count = event.node or event.server or "", event.statements
    else:
        kind, rows, what, where, count = "call", "", event.function, event.node or "", event.statements or 0
    if len(what) > _SHOWN:
        what = what[: _SHOWN - 1] + "…"
    if count > 1:
        what += f" ({count} statements)"
    if event.error is not None:
        what += f" ! {event.error}"
    route = "" if event.route is None else event.route.value
    times = [_ms(seconds) if seconds else "" for seconds in (event.rpc, event.wait)]
    return str(number), route, kind, rows, _ms(event.total), *times, where, what


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f}"


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """The rows as lines; numbers are aligned to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    right = {0, 3, 4, 5, 6}
    return [
        "  ".join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
