"""What is known of a statement, or of a call, while it runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import Any
from weakref import ref

from ..deadline import now
from ..observing.event import ids
from ..observing.events import CallServed, CallStarted, StatementKind, StatementServed, StatementStarted
from ..observing.listeners import emit, listeners
from ..observing.log import DEBUG, log_failure, log_served, logs
from ..observing.route import Route
from ..observing.sql import shown
from .served import Served
from .session import Session


class _Running:
    """A block in which something runs that somebody observes."""

    route: Route | None = None
    why = ""
    server: str | None = None
    node: str | None = None
    rpc = wait = 0.0
    trips = 0

    def __init__(self) -> None:
        self.id = next(ids)
        self.started = now()

    def note(self, served: Served) -> None:
        """Note how it, or a part of it, was served."""
        self.route, self.why, self.server, self.node = served.route, served.why, served.server, served.node
        self.rpc += served.rpc
        self.wait += served.wait
        self.trips += served.rpc > 0


class _Thread(threading.local):
    running: ref[_Running] | None = None
    """The statement that somebody observes. What is executed for it in turn is part of it.

    If an interrupt keeps its block from ending in order, the block is gone all the same, and the reference is dead.
    """
    call: RunningCall | None = None
    """The innermost call that somebody observes."""


_thread = _Thread()


def is_observed() -> bool:
    """Whether anybody observes statements."""
    return listeners.statements or logs(DEBUG)


def is_running() -> bool:
    """Whether this thread executes a statement that somebody observes, or that nobody may."""
    return _running() is not None


def _running() -> _Running | None:
    return None if (running := _thread.running) is None else running()


def note_served(session: Session, served: Served) -> None:
    """Record how a statement of this session, or a part of it, is served; :func:`fly_orm.why` returns the last one."""
    session.served = served
    if (running := _running()) is not None:
        running.note(served)


def note_decided(route: Route, why: str) -> None:
    """Record where a statement is about to run, which may not need a server, or may fail before one has served it."""
    if (running := _running()) is not None:
        running.route, running.why = route, why


@contextmanager
def unobserved(session: Session) -> Iterator[None]:
    """A block whose statements are an adapter's own and not the caller's: neither ``why()`` nor an event shows them."""
    served, before, hidden = session.served, _thread.running, _Running()
    if not is_running():
        _thread.running = ref(hidden)
    try:
        yield
    finally:
        session.served, _thread.running = served, before


class RunningStatement(_Running):
    """A block in which a statement runs that somebody observes. It is not inside another one."""

    # Statements that are observed come this way, local reads included. So this is written with few calls.

    def __init__(
        self,
        database: str,
        text: str | bytes,
        cursor: Any = None,
        *,
        count: int = 1,
        kind: StatementKind | None = None,
        served: Served | None = None,
    ) -> None:
        """``count`` is how many statements it stands for. ``cursor`` executes it, if one does.

        ``kind`` is what it does, if that is known; ``served`` is how it is served, unless something else tells.
        """
        self.id = next(ids)
        self._database, self._text, self._cursor = database, text, cursor
        self._count, self._kind = count, kind
        if served is not None:
            self.route, self.why, self.server, self.node = served.route, served.why, served.server, served.node
        self.started = now()

    def find_kind(self) -> StatementKind:
        """What the statement does, if that is not known."""
        return "control"

    def __enter__(self) -> None:
        if listeners.statement_started:
            text = shown(self._text)
            emit(StatementStarted(id=self.id, database=self._database, statements=self._count, _text=text))
        _thread.running = ref(self)

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: TracebackType | None) -> None:
        total, _thread.running = now() - self.started, None
        try:
            event = self._event(total, error)
            if listeners.statement_served:
                emit(event)
            if logs(DEBUG):
                log_served(event)
        except Exception:  # noqa: BLE001  # whatever is wrong with the report, the statement is done
            log_failure()

    def _event(self, total: float, error: BaseException | None) -> StatementServed:
        more: dict[str, Any] = {}  # what most reads do not have, as each field takes time
        if self.trips or self.wait or self._count != 1:
            more = {"rpc": self.rpc, "wait": self.wait, "round_trips": self.trips, "statements": self._count}
        if error is not None:
            more |= {"error": type(error).__name__, "sqlstate": getattr(error, "pgcode", None)}
        elif self._cursor is not None:
            more["rows"] = self._cursor.rowcount
        return StatementServed(
            id=self.id,
            database=self._database,
            _text=shown(self._text),
            kind=self._kind or self.find_kind(),
            route=self.route,
            why=self.why,
            server=self.server,
            node=self.node,
            total=total,
            **more,
        )


class RunningCall(_Running):
    """A block in which a function runs, here or elsewhere, while somebody observes."""

    def __init__(self, function: str) -> None:
        super().__init__()
        self._function, self._outer = function, _thread.call
        self.statements: int | None = None
        """How many statements it has executed on the node, if that has told."""

    def __enter__(self) -> None:
        if listeners.call_started:
            emit(CallStarted(id=self.id, function=self._function))
        _thread.call = self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: TracebackType | None) -> None:
        total, _thread.call = now() - self.started, self._outer
        try:
            self._report(total, error)
        except Exception:  # noqa: BLE001  # as above
            log_failure()

    def _report(self, total: float, error: BaseException | None) -> None:
        event = CallServed(
            id=self.id,
            function=self._function,
            route=self.route,
            why=self.why,
            node=self.node,
            total=total,
            rpc=self.rpc,
            wait=self.wait,
            statements=self.statements,
            error=None if error is None else type(error).__name__,
        )
        if listeners.call_served:
            emit(event)
        log_served(event)


_NOTHING: AbstractContextManager[None] = nullcontext()


def running_call(function: str) -> AbstractContextManager[None]:
    """A block in which a function is called, here or elsewhere."""
    return RunningCall(function) if listeners.calls or logs(DEBUG) else _NOTHING


def note_call(session: Session, served: Served, statements: int | None) -> None:
    """Record how a call of this session is served, and how many statements the function has executed."""
    session.served = served
    if (call := _thread.call) is not None:
        call.note(served)
        call.statements = statements


def note_call_here(why: str) -> None:
    """Record that the function that is called runs in this process."""
    if (call := _thread.call) is not None:
        call.route, call.why = Route.LOCAL, why
