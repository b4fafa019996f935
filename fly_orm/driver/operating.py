"""Operations with a key of the application's on connections that lead to the primary itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg2
from psycopg2 import extensions as ext

from ..classify import Kind, Statement
from ..errors import AlreadyCommitted, FlyOrmError, NotSupported, Refused
from ..ledger import entries, table
from ..postgres.cursors import text_cursor
from ..protocol.messages import Record, digest
from ..sessions.operation import Operation, executing

_IDLE = ext.TRANSACTION_STATUS_IDLE
_ENDS = frozenset({Kind.COMMIT, Kind.ROLLBACK})
#: What is no part of an operation outside of a transaction.
_NOTHING = frozenset({Kind.SET, Kind.SET_LOCAL, Kind.SERVER, Kind.LISTEN, Kind.UNLISTEN})


@contextmanager
def operating(
    connection: Any, statement: Statement, operation: Operation, sqls: Callable[[], Sequence[bytes]]
) -> Iterator[None]:
    """A block in which a statement runs that belongs to an operation; ``sqls`` makes its texts, with parameters.

    The transaction that begins with it takes the operation's key, and a write outside of a transaction gets one of its
    own. So does a query, since a function that it calls may write. Raises AlreadyCommitted, and nothing is executed, if
    the operation was committed before; NotSupported if it begins inside a transaction, or is not one transaction.
    """
    if (status := connection.get_transaction_status()) != _IDLE:
        _check_same(connection, statement, operation)
        _check_whole(connection, statement, operation)
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
    elif statement.kind is Kind.READ:
        with _query(connection, statement, operation, sqls):
            yield
    elif statement.kind in _NOTHING or statement.kind in _ENDS:
        yield
    else:
        _check_whole(connection, statement, operation)
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


def _check_whole(connection: Any, statement: Statement, operation: Operation) -> None:
    """Raise NotSupported for a string of statements of which a COMMIT could make a part permanent."""
    if statement.kind not in _ENDS and (statement.begins_transaction or statement.ends_transaction):
        raise connection.router.driver_error(
            NotSupported(
                f"{statement.why} cannot be recorded, and so cannot be the operation {operation.key!r}. Nothing was "
                "executed. Execute it outside of the block of fly_orm.operation()"
            )
        )


@contextmanager
def _query(
    connection: Any, statement: Statement, operation: Operation, sqls: Callable[[], Sequence[bytes]]
) -> Iterator[None]:
    """A block in which a query runs. If it has written something, it was the operation."""
    try:
        with _transaction(connection):
            yield
            if _has_written(connection):
                with executing(operation, connection.router.driver_error):
                    _claim(connection, operation, statement.why, digest(sqls()))
    except psycopg2.Error as error:
        record = _record(operation, statement.why, digest(sqls()))
        if isinstance(error, FlyOrmError) or not _is_committed(connection, record):
            raise
        raise _committed_before(connection, record) from error  # which may be why it has failed, such as a unique key


@contextmanager
def _alone(connection: Any, statement: Statement, operation: Operation, asked: str) -> Iterator[None]:
    with _transaction(connection):
        _claim(connection, operation, statement.why, asked)
        yield


@contextmanager
def _transaction(connection: Any) -> Iterator[None]:
    _execute(connection, "BEGIN")
    try:
        yield
        _execute(connection, "COMMIT")
    except BaseException:
        if not connection.closed and connection.get_transaction_status() != _IDLE:
            _execute(connection, "ROLLBACK")
        connection.operation = None
        raise
    ended(connection, committed=True)


def _has_written(connection: Any) -> bool:
    with text_cursor(connection) as cursor:
        cursor.execute("SELECT (pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL)::text")
        return bool(cursor.fetchone()[0] == "true")


def ended(connection: Any, *, committed: bool) -> None:
    """Note that the transaction of an operation has ended."""
    operation, connection.operation = connection.operation, None
    if operation is not None and committed:
        operation.done = True


def _claim(connection: Any, operation: Operation, what: str, asked: str = "") -> None:
    """Take the operation's key in the open transaction, which begins now if the driver begins it."""
    record = _record(operation, what, asked)
    try:
        _execute(connection, entries.claim(record))
    except psycopg2.Error as error:
        if connection.closed:
            raise
        _execute(connection, "ROLLBACK")
        raise _explained(connection, error, record) from error
    connection.operation = operation


def _record(operation: Operation, what: str, asked: str) -> Record:
    return Record(id="", operation=operation.key, what=what, asked=asked)


def _is_committed(connection: Any, record: Record) -> bool:
    """Whether the operation was committed before, if the ledger tells."""
    with suppress(Refused, psycopg2.Error):
        entries.of_operation(connection, record)
        return True
    return False


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
    return _committed_before(connection, record)


def _committed_before(connection: Any, record: Record) -> Exception:
    error: Exception = connection.router.driver_error(
        AlreadyCommitted(
            f"{record.what} with the operation key {record.operation!r} was committed before. The work is done; do not "
            "repeat it"
        )
    )
    return error
