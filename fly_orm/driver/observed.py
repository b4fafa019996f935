"""Statements of cursors and connections that somebody observes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

from ..classify import Kind, Statement
from ..observing.events import ReadFellBack, StatementKind
from ..observing.listeners import emit, listeners
from ..protocol.messages import Batch
from ..routing.decide import PINNED
from ..sessions.context import current
from ..sessions.running import RunningStatement, is_observed, is_running
from ..sessions.served import Served
from .text import text_of

_NOTHING: AbstractContextManager[None] = nullcontext()
_KINDS: dict[Kind, StatementKind] = {Kind.READ: "read", Kind.WRITE: "write"}


class CursorStatement(RunningStatement):
    """A block in which a cursor executes a statement that somebody observes."""

    def find_kind(self) -> StatementKind:
        text, connection = self._text, self._cursor.connection
        statement = connection.router.classify(text if type(text) is str else text_of(text, connection), connection)
        return _KINDS.get(statement.kind, "control")


def running(cursor: Any, query: Any, **options: Any) -> RunningStatement | None:
    """The block in which to execute a statement that somebody observes; None if it is part of another one.

    The options are those of :class:`RunningStatement`.
    """
    if is_running():
        return None
    text = query if isinstance(query, str | bytes) else ""
    if not text:
        with suppress(Exception):  # whatever may be wrong with it, psycopg2 raises that
            text = text_of(query, cursor)
    return CursorStatement(cursor.connection.database, text, cursor, **options)


def block(cursor: Any, query: Any, **options: Any) -> AbstractContextManager[None]:
    """The same; a block that does nothing if nobody observes it."""
    return (running(cursor, query, **options) if is_observed() else None) or _NOTHING


def end(connection: Any, sql: str, served: Served | None = None) -> AbstractContextManager[None]:
    """A block in which a transaction ends that the DB-API has begun; ``served`` says how, if nothing else does."""
    if is_running() or not is_observed():
        return _NOTHING
    return RunningStatement(connection.database, sql, served=served)


def batch(connection: Any, statements: Batch) -> AbstractContextManager[None]:
    """A block in which statements are executed that travel together."""
    if is_running() or not is_observed():
        return _NOTHING
    texts = [step.statement for step in statements.steps]
    count = len(texts) + statements.commits
    return RunningStatement(connection.database, texts[0] if texts else "COMMIT", count=count, kind="write")


def tell_of_refusal(database: str, why: str, error: Any) -> None:
    """Tell observers that the replica has refused a read, which runs on the primary."""
    if listeners.read_fell_back:
        emit(ReadFellBack(database=database, because="refused", why=why, sqlstate=error.pgcode))


def tell_if_late(connection: Any, statement: Statement, why: str) -> None:
    """Tell observers of a read that runs on the primary since the replica does not show enough, if it is one."""
    if not listeners.read_fell_back or why != PINNED or statement.kind is not Kind.READ:
        return
    if not (current().on_primary or connection.router.freshness.reads_on_primary):  # nor does anybody want it there
        emit(ReadFellBack(database=connection.database, because="late", why=why))


@contextmanager
def within(statement: RunningStatement, make: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """The block that ``make`` makes, inside that of a statement, so that what it raises belongs to the statement."""
    with statement, make():
        yield
