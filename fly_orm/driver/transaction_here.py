"""A read-only transaction on the replica, and how it moves to the primary."""

from __future__ import annotations

from threading import get_ident
from typing import Any

from psycopg2 import errors
from psycopg2 import extensions as ext

from ..classify import Kind, Statement
from ..errors import NotSupported
from ..routing.unsupported import LOCK_HERE

_SAVEPOINTS = frozenset({Kind.SAVEPOINT, Kind.RELEASE, Kind.ROLLBACK_TO})
#: They have to be set outside of transactions on the primary.
_QUOTING = frozenset({"client_encoding", "standard_conforming_strings"})


class TransactionHere:
    """What a transaction has executed on the replica, so that it can begin again on the primary. No I/O."""

    def __init__(self, begin: bytes, command_tag: str = "BEGIN") -> None:
        self.begin, self.command_tag = begin, command_tag
        self.thread = get_ident()
        """The thread that has begun it."""
        self.is_fixed = False
        """Whether it has done what the primary would have to do again, and might do differently."""
        self.commands: list[tuple[Statement, bytes]] = []
        """Savepoints and settings, which the primary accepts as the replica has done."""

    def executed(self, statement: Statement, sql: bytes | None = None) -> None:
        """Note a statement that was executed; one whose text is not given cannot be executed again."""
        if statement.kind is Kind.READ and not statement.changes:
            return
        if sql is not None and _can_repeat(statement):
            self.commands.append((statement, sql))
        else:
            self.is_fixed = True


def chained(connection: Any) -> TransactionHere:
    """The transaction that AND CHAIN has begun on the replica, which has the characteristics of the last one."""
    begin = "BEGIN READ ONLY"
    with ext.cursor(connection) as cursor:
        cursor.execute("SHOW transaction_isolation")  # SHOW takes no snapshot
        begin += f", ISOLATION LEVEL {cursor.fetchone()[0]}"  # type: ignore[index]
        cursor.execute("SHOW transaction_deferrable")
        begin += ", DEFERRABLE" if cursor.fetchone()[0] == "on" else ""  # type: ignore[index]
    return TransactionHere(begin.encode())


def move_to_primary(connection: Any) -> bool:
    """End the transaction on the replica and begin it on the primary, with the same savepoints and settings.

    False if it has failed, so that nothing but its end can follow. NotSupported if it has read one snapshot, which
    fails the transaction, or has cursors or settings that functions have made.
    """
    if ext.connection.get_transaction_status(connection) == ext.TRANSACTION_STATUS_INERROR:
        return False
    here: TransactionHere | None = connection.transaction_here
    if here is None or here.is_fixed or _has_snapshot(connection):
        raise connection.router.driver_error(NotSupported(LOCK_HERE))
    connection.leave_transaction_here()
    with connection.remote.lock:
        _begin_again(connection.remote, here)
    return True


def _can_repeat(statement: Statement) -> bool:
    if statement.kind in _SAVEPOINTS:
        return statement.simple or statement.name is not None
    if statement.kind not in (Kind.SET, Kind.SET_LOCAL) or statement.changes:
        return False
    quoting = not _QUOTING.isdisjoint((statement.name or "").split(","))
    return not (quoting or statement.resets or statement.resets_all)


def _has_snapshot(connection: Any) -> bool:
    """Whether the transaction has a snapshot for all of its reads; it has failed then.

    Plain reads are not kept track of. But the isolation level cannot change once a transaction has a snapshot (Postgres
    manual, SET TRANSACTION).
    """
    with ext.cursor(connection) as cursor:
        cursor.execute("SHOW transaction_isolation")
        row: Any = cursor.fetchone()
        if row[0] in ("read committed", "read uncommitted"):
            return False
        try:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        except errors.ActiveSqlTransaction:
            return True
        return False


def _begin_again(remote: Any, here: TransactionHere) -> None:
    remote.begin(here.begin, here.command_tag)
    for statement, sql in here.commands:
        remote.transaction.pending.append(sql)
        remote.transaction.note(statement)
        remote.transaction.changes |= statement.session_changes
