"""A read-only transaction on the replica, and how it moves to the primary."""

from __future__ import annotations

from threading import get_ident
from typing import Any

from psycopg2 import errors
from psycopg2 import extensions as ext

from ..classify import SETTING_CHANGES, Kind, Statement
from ..errors import NotSupported
from ..routing.unsupported import LOCK_HERE
from ..sessions.session import Session

#: The levels at which each statement has a snapshot of its own.
_READS_ANEW = frozenset({"read committed", "read uncommitted"})
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
        self.has_cursors = False
        """Whether named cursors were declared in it."""
        self.reads_anew: bool | None = None
        """Whether each statement sees what was committed before it, at READ COMMITTED; None if that is not known."""
        self.commands: list[tuple[Statement, bytes]] = []
        """Savepoints and settings, which the primary accepts as the replica has done."""

    def executed(self, statement: Statement, sql: bytes | None = None) -> None:
        """Note a statement that was executed; one whose text is not given cannot be executed again."""
        self.has_cursors |= statement.opens_cursor
        if statement.kind is Kind.READ and not statement.changes:
            return
        if statement.kind in SETTING_CHANGES:
            self.reads_anew = None
        if sql is not None and _can_repeat(statement):
            self.commands.append((statement, sql))
        else:
            self.is_fixed = True


def chained(connection: Any) -> TransactionHere:
    """The transaction that AND CHAIN has begun on the replica, which has the characteristics of the last one."""
    begin = "BEGIN READ ONLY"
    begin += f", ISOLATION LEVEL {_level(connection)}"
    with ext.cursor(connection) as cursor:
        cursor.execute("SHOW transaction_deferrable")
        begin += ", DEFERRABLE" if cursor.fetchone()[0] == "on" else ""  # type: ignore[index]
    return TransactionHere(begin.encode())


def _reads_anew(connection: Any) -> bool:
    """Whether the next query of the transaction on the replica has a snapshot of its own, as at READ COMMITTED."""
    here: TransactionHere | None = connection.transaction_here
    if here is None or ext.connection.get_transaction_status(connection) != ext.TRANSACTION_STATUS_INTRANS:
        return False
    if here.reads_anew is None:
        here.reads_anew = _level(connection) in _READS_ANEW
    return here.reads_anew


def need_not_wait_here(connection: Any, statement: Statement, session: Session) -> bool:
    """Whether a read in the transaction on the replica need not wait for what its session has seen.

    The session has seen nothing more since, or the read has an older snapshot anyway, or none.
    """
    return not statement.takes_snapshot or session.may_read_over(connection) or not _reads_anew(connection)


def may_leave(connection: Any) -> bool:
    """Whether the transaction on the replica can go on on the primary, so that its next query is a fresh one."""
    here: TransactionHere | None = connection.transaction_here
    if here is None or here.is_fixed or here.has_cursors or connection.has_declared:
        return False
    return _reads_anew(connection)


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
    return begin_again_on_primary(connection)


def begin_again_on_primary(connection: Any) -> bool:
    """End the transaction on the replica, which has read nothing that counts, and begin it on the primary.

    False if it has settings that cannot be made again.
    """
    here: TransactionHere | None = connection.transaction_here
    if here is None or here.is_fixed:
        return False
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
    if _level(connection) in _READS_ANEW:
        return False
    with ext.cursor(connection) as cursor:
        try:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        except errors.ActiveSqlTransaction:
            return True
        return False


def _level(connection: Any) -> str:
    """The isolation level of the transaction on the replica. SHOW takes no snapshot."""
    with ext.cursor(connection) as cursor:
        cursor.execute("SHOW transaction_isolation")
        row: Any = cursor.fetchone()
        return str(row[0])


def _begin_again(remote: Any, here: TransactionHere) -> None:
    remote.begin(here.begin, here.command_tag)
    for statement, sql in here.commands:
        remote.transaction.pending.append(sql)
        remote.transaction.note(statement)
        remote.transaction.changes |= statement.session_changes
