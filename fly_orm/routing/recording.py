"""Which requests the ledger records, and how."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

import msgspec
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from ..classify import Kind, Statement
from ..errors import NotSupported
from ..protocol.messages import Done, Record, Run, digest
from ..sessions.operation import Operation, current_operation
from .transaction import RemoteTransaction

#: The COMMIT of a transaction by itself.
COMMIT = Statement(kind=Kind.COMMIT, why="COMMIT", simple=True)


def record_of(
    statement: Statement,
    transaction: RemoteTransaction | None,
    *,
    exactly_once: bool,
    writes: bool,
    asked: Callable[[], dict[str, str]],
) -> Record | None:
    """How to record a request; None if the ledger does not record it.

    ``exactly_once`` says that every write of the database is recorded, and not only operations of the application's.
    ``asked`` makes what an operation has besides, with :func:`asked_of`. NotSupported if it cannot be recorded.
    """
    if transaction is None:
        record = _alone(statement, exactly_once=exactly_once, writes=writes)
        if record is None or not record.operation:
            return record
        return msgspec.structs.replace(record, **asked())
    if statement.kind is Kind.COMMIT or statement.ends_transaction:
        return _committing(statement, transaction, exactly_once=exactly_once)
    operation = current_operation()
    if operation is None or operation is transaction.operation or statement.kind is Kind.ROLLBACK:
        return None
    return _claim(operation, transaction)


def record_of_batch(
    statement: Statement, transaction: RemoteTransaction | None, *, commits: bool, exactly_once: bool
) -> Record | None:
    """How to record a request that executes a batch, and perhaps commits it; None if the ledger does not record it."""
    claim = record_of(statement, transaction, exactly_once=exactly_once, writes=True, asked=dict)
    if not commits or transaction is None:
        return claim
    record = _committing(COMMIT, transaction, exactly_once=exactly_once)
    return None if record is None else msgspec.structs.replace(record, writes=True)


def asked_of(sqls: Sequence[bytes], tenancy: Mapping[str, str]) -> dict[str, str]:
    """The digests by which a record tells a write from another one, and from the same of another tenant."""
    parts = [text.encode() for item in sorted(tenancy.items()) for text in item]
    return {"asked": digest(sqls), "session": digest(parts)}


def _committing(statement: Statement, transaction: RemoteTransaction, *, exactly_once: bool) -> Record | None:
    """The record of a request that ends a transaction. What else it does could not be part of the operation."""
    operation = transaction.operation
    if not statement.simple:
        if (named := operation or current_operation()) is not None:
            raise NotSupported(_unrecordable(statement, named.key))
        return None
    recorded = (exactly_once or operation is not None) and not transaction.failed
    return _record(operation, "a transaction", writes=transaction.writes) if recorded else None


def unrecorded(run: Run, statement: Statement) -> Run:
    """The request without its record, as the statement cannot be recorded; NotSupported if it is an operation."""
    if run.record is not None and run.record.operation:
        raise NotSupported(_unrecordable(statement, run.record.operation))
    return msgspec.structs.replace(run, record=None)


def note_done(run: Run, transaction: RemoteTransaction | None, done: Done) -> None:
    """Note that an operation was executed, if this request was it, or committed the transaction that is it."""
    operation = operation_of(run, transaction)
    if operation is None or done.error is not None:
        return
    committed = transaction is None or (run.commits and done.result is not None)
    if run.batch is not None:
        committed = run.has_commit and done.transaction == TRANSACTION_STATUS_IDLE
    if committed:
        operation.done = True


def operation_of(run: Run, transaction: RemoteTransaction | None) -> Operation | None:
    """The operation of the application's that a request is, or is the beginning or the end of."""
    if run.record is None or not run.record.operation:
        return None
    return current_operation() if transaction is None else transaction.operation


def _unrecordable(statement: Statement, key: str) -> str:
    return (
        f"{statement.why} cannot be recorded, and so cannot be the operation {key!r}. Nothing was executed. Execute it "
        "outside of the block of fly_orm.operation()"
    )


def _claim(operation: Operation, transaction: RemoteTransaction) -> Record:
    """The record of the first request of a transaction, with which the transaction takes the operation's key."""
    if transaction.sent:
        raise NotSupported(
            f"the operation {operation.key!r} begins inside a transaction, and so cannot be repeated as a whole. "
            "Nothing was sent. Begin the block of fly_orm.operation() before the transaction"
        )
    operation.begin()
    transaction.operation = operation
    return _record(operation, "a transaction")


def _alone(statement: Statement, *, exactly_once: bool, writes: bool) -> Record | None:
    operation = current_operation() if writes else None
    may_write = writes or bool(statement.function_names)
    if not may_write or not (exactly_once or operation):
        return None
    recordable = statement.kind in (Kind.WRITE, Kind.READ) and not (
        statement.leaves_state
        or statement.needs_transaction
        or statement.begins_transaction
        or statement.ends_transaction
    )
    if not recordable:
        if operation is None:
            return None
        raise NotSupported(_unrecordable(statement, operation.key))
    if operation is not None:
        operation.begin()
    return _record(operation, statement.why, writes=writes)


def _record(operation: Operation | None, what: str, *, writes: bool = False) -> Record:
    named = {} if operation is None else {"operation": operation.key, "what": what}
    return Record(id=new_id(), writes=writes, **named)


def new_id() -> str:
    """An id for a request, which no other has, nor any operation."""
    return f"fly_orm:{os.urandom(16).hex()}"
