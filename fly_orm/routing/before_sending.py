"""Whether a statement may be sent to the primary, given what has become of its transaction and of its session there."""

from __future__ import annotations

from typing import Any

from psycopg2 import errors
from psycopg2 import extensions as ext

from ..classify import Kind, Statement
from .errors import session_lost, transaction_lost
from .transaction import RemoteTransaction

#: Fails in any transaction; the primary's log shows why.
_FAILS = b"SELECT 'a read of this transaction has failed on a replica'::pg_catalog.int4"
_STATEMENT = Statement(kind=Kind.READ, why="a read of the transaction has failed on the replica")


def check_can_forward(remote: Any, statement: Statement) -> None:
    """Raise what keeps a statement from being sent: the session or the transaction is lost, or has failed."""
    if remote.gone is not None:
        remote.connection.close()
        raise remote.router.driver_error(session_lost(remote.gone))
    transaction = remote.transaction
    if transaction is None:
        return
    if transaction.lost is None:
        if transaction.check(statement):
            _fail_on_primary(remote, transaction)
        return
    if statement.kind is Kind.COMMIT:
        remote.transaction = None
    raise remote.router.driver_error(transaction_lost(transaction.lost))


def _fail_on_primary(remote: Any, transaction: RemoteTransaction) -> None:
    """Begin the transaction on the primary, with its savepoints, and let it fail there.

    A text that may end it, or undo its failure, then has the effect that it has on one server, whatever else is in it.
    """
    transaction.status = ext.TRANSACTION_STATUS_INTRANS
    try:
        remote.forward([_FAILS], _STATEMENT, _STATEMENT.why)
    except errors.InvalidTextRepresentation:
        return
    finally:
        transaction.status = ext.TRANSACTION_STATUS_INERROR
