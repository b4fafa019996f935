"""What a test claims of the statements and calls in a block, of all threads of this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fly_orm.observing import CallServed, Observer, Route, StatementServed, StatementStarted, observe

from .server import Server

#: The time of the newest commit that a server shows; None if there was none. It needs track_commit_timestamp.
_NEWEST = "SELECT extract(epoch FROM timestamp) FROM pg_last_committed_xact()"


class _Served(Observer):
    """Collects what was served."""

    def __init__(self) -> None:
        self.events: list[StatementServed | CallServed] = []

    def statement_served(self, event: StatementServed) -> None:
        self.events.append(event)

    def call_served(self, event: CallServed) -> None:
        self.events.append(event)


class _Fresh(Observer):
    """Finds reads on a replica that lacks what had been committed before they began."""

    def __init__(self, primary: Server, replicas: Sequence[Server]) -> None:
        self.stale: list[str] = []
        self._primary = primary
        self._replicas = {str(server.port): server for server in replicas}
        self._committed: dict[int, Any] = {}

    def statement_started(self, event: StatementStarted) -> None:
        self._committed[event.id] = self._primary.query(_NEWEST)

    def statement_served(self, event: StatementServed) -> None:
        committed = self._committed.pop(event.id, None)
        replica = self._replicas.get(str(event.server).rpartition(":")[2])
        if event.kind != "read" or event.route is not Route.LOCAL or committed is None or replica is None:
            return
        shown = replica.query(_NEWEST)
        if shown is None or shown < committed:
            self.stale.append(f"{event.sql} ({replica.name})")


@contextmanager
def round_trips(number: int) -> Iterator[None]:
    """AssertionError, with what was executed, unless the block takes exactly so many round trips between regions."""
    served = _Served()
    with observe(served):
        yield
    taken = sum(_trips(event) for event in served.events)
    if taken != number:
        raise AssertionError(f"{taken} round trips instead of {number}:{_lines(served.events)}")


@contextmanager
def local() -> Iterator[None]:
    """AssertionError unless all statements and calls of the block are served in this region."""
    served = _Served()
    with observe(served):
        yield
    elsewhere = [event for event in served.events if event.route is not Route.LOCAL]
    if elsewhere:
        raise AssertionError(f"not all was served in this region:{_lines(elsewhere)}")


@contextmanager
def fresh(primary: Server, replicas: Sequence[Server]) -> Iterator[None]:
    """AssertionError if a read of the block is served by a replica that lacks something committed before it began."""
    observer = _Fresh(primary, replicas)
    with observe(observer):
        yield
    if observer.stale:
        raise AssertionError("stale reads:" + "".join(f"\n  {line}" for line in observer.stale))


def _trips(event: StatementServed | CallServed) -> int:
    if isinstance(event, StatementServed):
        return event.round_trips
    return 0 if event.node is None else 1


def _lines(events: Sequence[Any]) -> str:
    return "".join(
        f"\n  {_trips(event)} × {getattr(event, 'function', None) or event.sql}: {event.why}" for event in events
    )
