"""What a test claims of the statements and calls in a block, of all threads of this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg2

from fly_orm.observing import CallServed, Observer, Route, StatementServed, StatementStarted, observe

from .server import Server

#: How many of the last transactions may have been rolled back. Their numbers are 32 bits of a count.
_LOOKED_THROUGH = 10_000
#: The time of the newest commit that a server shows; None if there was none, or if that cannot be told. A server that
#: was restarted looks it up, since pg_last_committed_xact() forgets it. It needs track_commit_timestamp.
_NEWEST = f"""
    SELECT extract(epoch FROM coalesce(
        (SELECT timestamp FROM pg_last_committed_xact()),
        (
            SELECT max(pg_xact_commit_timestamp((number % 4294967296)::text::xid))
            FROM (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next) AS known,
            generate_series(greatest(3, next - {_LOOKED_THROUGH}), next - 1) AS number
            WHERE number % 4294967296 > 2
        )
    ))
"""  # noqa: S608


class _Served(Observer):
    """Collects what was served."""

    def __init__(self) -> None:
        self.events: list[StatementServed | CallServed] = []

    def statement_served(self, event: StatementServed) -> None:
        self.events.append(event)

    def call_served(self, event: CallServed) -> None:
        self.events.append(event)


class _Fresh(Observer):
    """Finds reads on a replica that lacks what had been committed before they began, or that may lack it."""

    def __init__(self, primary: Server, replicas: Sequence[Server]) -> None:
        self.stale: list[str] = []
        self.unknown: list[str] = []
        self._primary = primary
        self._replicas = {str(server.port): server for server in replicas}
        self._committed: dict[int, Any] = {}

    def statement_started(self, event: StatementStarted) -> None:
        self._committed[event.id] = _newest(self._primary)

    def statement_served(self, event: StatementServed) -> None:
        committed = self._committed.pop(event.id, None)
        replica = self._replicas.get(str(event.server).rpartition(":")[2])
        if event.kind != "read" or event.route is not Route.LOCAL or replica is None:
            return
        shown = _newest(replica)
        if committed is None or shown is None:
            silent = self._primary if committed is None else replica
            self.unknown.append(f"{event.sql} ({replica.name}): the {silent.name} does not tell what it shows")
        elif shown < committed:
            self.stale.append(f"{event.sql} ({replica.name})")


def _newest(server: Server) -> Any:
    try:
        return server.query(_NEWEST)
    except psycopg2.Error:  # it is stopped, perhaps
        return None


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
    """AssertionError if a read of the block is served by a replica that lacks something committed before it began.

    Also if that cannot be told, as while the primary is stopped.
    """
    observer = _Fresh(primary, replicas)
    with observe(observer):
        yield
    if observer.stale:
        raise AssertionError("stale reads:" + "".join(f"\n  {line}" for line in observer.stale))
    if observer.unknown:
        raise AssertionError("reads that may be stale:" + "".join(f"\n  {line}" for line in observer.unknown))


def _trips(event: StatementServed | CallServed) -> int:
    if isinstance(event, StatementServed):
        return event.round_trips
    return 0 if event.node is None else 1


def _lines(events: Sequence[Any]) -> str:
    return "".join(
        f"\n  {_trips(event)} × {getattr(event, 'function', None) or event.sql}: {event.why}" for event in events
    )
