"""Operations with a key of the application's on connections that lead to the primary itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2 import extensions as ext

from ..classify import Kind, Statement
from ..errors import AlreadyCommitted, NotSupported, Refused
from ..ledger import entries, table
from ..protocol.messages import Record, digest
from ..sessions.operation import Operation, executing

_IDLE = ext.TRANSACTION_STATUS_IDLE
_ENDS = frozenset({Kind.COMMIT, Kind.ROLLBACK})
#: What is no part of an operation outside of a transaction.
_NOTHING = frozenset({Kind.READ, Kind.SET, Kind.SET_LOCAL, Kind.SERVER, Kind.LISTEN, Kind.UNLISTEN})


@contextmanager
def operating(
    connection: Any, statement: Statement, operation: Operation, sqls: Callable[[], Sequence[bytes]]
) -> Iterator[None]:
    """A block in which a statement runs that belongs to an operation; ``sqls`` makes its texts, with parameters.

    The transaction that begins with it takes the operation's key, and a write outside of a transaction gets one of its
    own. Raises AlreadyCommitted, and nothing is executed, if the operation was committed before; NotSupported if it
    begins inside a transaction.
    """
    if (status := connection.get_transaction_status()) != _IDLE:
        _check_same(connection, statement, operation)
        yield
        if statement.kind in _ENDS:
            ended(connection, committed=statement.kind is Kind.COMMIT and status == ext.TRANSACTION_STATUS_INTRANS)
    elif statement.kind is Kind.BEGIN:
        operation.begin()
        yield
        _claim(connection, operation, "a transaction")
    elif not connection.autocommit:
        operation.begin()
        _claim(connection, operation, "a transaction")
        yield
    elif statement.kind in _NOTHING or statement.kind in _ENDS:
        yield
    else:
        with (
            executing(operation, connection.router.driver_error),
            _alone(connection, statement, operation, digest(sqls())),
        ):
            yield


def _check_same(connection: Any, statement: Statement, operation: Operation) -> None:
    if connection.operation is not operation and statement.kind not in _ENDS:
        raise connection.router.driver_error(
            NotSupported(
                f"the operation {operation.key!r} begins inside a transaction, and so cannot be repeated as a whole. "
                "Nothing was executed. Begin the block of fly_orm.operation() before the transaction"
            )
        )


@contextmanager
def _alone(connection: Any, statement: Statement, operation: Operation, asked: str) -> Iterator[None]:
    _execute(connection, "BEGIN")
    _claim(connection, operation, statement.why, asked)
    try:
        yield
    except BaseException:
        if not connection.closed:
            _execute(connection, "ROLLBACK")
        connection.operation = None
        raise
    _execute(connection, "COMMIT")
    ended(connection, committed=True)


def ended(connection: Any, *, committed: bool) -> None:
    """Note that the transaction of an operation has ended."""
    operation, connection.operation = connection.operation, None
    if operation is not None and committed:
        operation.done = True


def _claim(connection: Any, operation: Operation, what: str, asked: str = "") -> None:
    """Take the operation's key in the open transaction, which begins now if the driver begins it."""
    record = Record(id="", operation=operation.key, what=what, asked=asked)
    try:
        _execute(connection, entries.claim(record))
    except psycopg2.Error as error:
        if connection.closed:
            raise
        _execute(connection, "ROLLBACK")
        raise _explained(connection, error, record) from error
    connection.operation = operation


def _execute(connection: Any, sql: str | bytes) -> None:
    with ext.cursor(connection) as cursor:  # not one that records its statements
        cursor.execute(sql)


def _explained(connection: Any, error: psycopg2.Error, record: Record) -> Exception:
    try:
        table.check_usable(error)
        if not table.concerns(error):
            return error
        entries.of_operation(connection, record)
    except Refused as refused:
        refused_error: Exception = connection.router.driver_error(refused)
        return refused_error
    finally:
        if not connection.autocommit:
            _execute(connection, "ROLLBACK")
    made: Exception = connection.router.driver_error(
        AlreadyCommitted(
            f"{record.what} with the operation key {record.operation!r} was committed before. The work is done; do not "
            "repeat it"
        )
    )
    return made
