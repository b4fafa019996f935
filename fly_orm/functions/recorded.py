"""Runs a function in one transaction with its row in the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg2
from psycopg2 import extensions as ext

from ..driver.holding import held
from ..errors import NotPortable, NotSupported, Refused
from ..ledger import entries, table
from ..postgres.proxies import unproxied
from ..protocol.encoding import encode
from ..protocol.messages import Record, Returned
from ..routing.router import Router, routers
from ..sessions.operation import recorded_whole
from .once import stored
from .values import encoded

_TRANSACTION = "SELECT pg_catalog.pg_current_xact_id()::text"


class Outcome(NamedTuple):
    """What became of a function that has run to its end, now or before."""

    reply: Returned
    """What it returned, encoded."""
    result: Any = None
    """What it returned, unless it ran before."""
    earlier: bool = False
    """Whether it ran before, with the same operation key."""


class CommitLost(Exception):
    """The connection to the primary was lost at the COMMIT, so that nobody knows here what became of it."""


class TransactionBroken(Exception):
    """The connection to the primary was lost before the COMMIT, so that nothing was committed."""


class LedgerRefused(Exception):
    """The function cannot be recorded, and nothing is committed."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(str(refused))
        self.refused = refused
        """Says why."""


class ResultNotPortable(Exception):
    """The function returned what cannot travel, so that it is rolled back: no repetition could return it."""


class _KeyTaken(Exception):
    """The operation was committed before."""


def run(router: Router, record: Record, work: Callable[[], Any]) -> Outcome:
    """The outcome of ``work``, all of whose statements on this database run in one transaction with its row.

    Raises what ``work`` raises, and then nothing is committed; NotSupported if it ends the transaction itself. What is
    raised after the connection was lost becomes CommitLost or TransactionBroken. ResultNotPortable if its result cannot
    travel.
    """
    block = _Block(record)
    try:
        with recorded_whole(record.what), router.wrapped.transaction() as connection:
            outcome = block.run(unproxied(connection), work)
    except _KeyTaken:
        return _earlier(router, record)
    except Exception as error:
        if block.connection is None or not block.connection.closed:
            raise
        if block.committing:
            raise CommitLost(f"the connection to the primary was lost at the COMMIT: {error}") from error
        raise TransactionBroken(f"the connection to the primary was lost: {error}") from error
    return outcome


class _Block:
    """What happens inside of the transaction."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self.connection: Any = None
        self.committing = False
        """Whether everything is done but the COMMIT."""

    def run(self, connection: Any, work: Callable[[], Any]) -> Outcome:
        self.connection = connection
        transaction = self._begin()
        with held(connection, self._record.what):
            result = work()
            for router in routers():
                router.wrapped.flush()
        if self._execute(_TRANSACTION) != transaction:
            raise NotSupported(f"{self._record.what} has ended its transaction, so that it could not be recorded")
        try:
            reply = Returned(value=encoded(result, "the result"))
        except NotPortable as error:
            raise ResultNotPortable(f"{error}. Nothing was committed") from error
        self._execute(entries.note(self._record, encode(reply), wrote=True).decode())
        self.committing = True
        return Outcome(reply, result)

    def _begin(self) -> str:
        """Take the operation's key, if there is one, and return the id of the transaction."""
        with _refusing():
            table.check_exists(self.connection)
        if not self._record.operation:
            return self._execute(_TRANSACTION)
        try:
            return self._execute(f"{entries.claim(self._record).decode()}; {_TRANSACTION}")
        except psycopg2.Error as error:
            if table.concerns(error):
                raise _KeyTaken from error
            raise

    def _execute(self, sql: str) -> str:
        """The only value that a statement of fly_orm's own returns, if any."""
        try:
            # As the function's own statements run: they are recorded, can be cancelled, and may be routed.
            with self.connection.cursor(cursor_factory=ext.cursor) as cursor:
                ext.register_type(ext.UNICODE, cursor)
                cursor.execute(sql)
                return str(cursor.fetchall()[0][0]) if cursor.description else ""
        except psycopg2.Error as error:
            with _refusing():
                table.check_usable(error, self.connection.info.user)
            raise


@contextmanager
def _refusing() -> Iterator[None]:
    """A block whose Refused is the ledger's, and not the function's."""
    try:
        yield
    except Refused as error:
        raise LedgerRefused(error) from error


def returned(result: Any) -> Returned:
    """The reply with what a function returned."""
    try:
        return Returned(value=encoded(result, "the result"))
    except NotPortable as error:
        return Returned(result_lost=str(error))


def _earlier(router: Router, record: Record) -> Outcome:
    # On a connection of the ORM's, as the row was written: the application may have it assume a role.
    with recorded_whole(record.what), router.wrapped.transaction() as connection, _refusing():
        entry = entries.of_operation(unproxied(connection), record)
    return Outcome(stored(entry.reply), earlier=True)
