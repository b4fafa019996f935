"""Keeps what a caller's statements do to the roles that the caller's own role may take."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from typing import Any

import psycopg2
from psycopg2 import errors
from psycopg2 import extensions as ext
from psycopg2.errorcodes import FEATURE_NOT_SUPPORTED, INSUFFICIENT_PRIVILEGE, SYNTAX_ERROR

from ..classify.lexer import with_escapes_marked
from ..classify.role_changes import (
    PASSIVE,
    RoleChange,
    RoleChanges,
    controls_transactions,
    may_show_any,
    role_changes,
)
from ..classify.session_change import AUTHORIZATION
from ..errors import Refused
from ..observing.rarely import Rarely, again
from ..protocol import reasons
from .aborting import abort_transaction
from .cursors import execute, text_cursor
from .pooled_session import PooledSession, literal, quoted
from .sql_error import made_error
from .starting import Start, set_role_privilege

log = logging.getLogger("fly_orm")
_refusals = Rarely()

_IDLE = ext.TRANSACTION_STATUS_IDLE
_IN_ERROR = ext.TRANSACTION_STATUS_INERROR
# Everything is qualified: the search_path is the caller's, who may have made operators and types.
_MAY_TAKE = """
    SELECT pg_catalog.pg_has_role(own.oid, taken.oid, '{mode}')::pg_catalog.text
    FROM pg_catalog.pg_roles own, pg_catalog.pg_roles taken
    WHERE own.rolname OPERATOR(pg_catalog.=) {own} AND taken.rolname OPERATOR(pg_catalog.=) {taken}"""
_IS_SUPERUSER = """
    SELECT rolsuper::pg_catalog.text FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) {own}"""
_UNREADABLE = "unterminated quoted string, quoted identifier or comment, so the node cannot check changes of the role"
_CURRENT = "SELECT pg_catalog.current_setting('role')"


class RoleGuard:
    """Guards a session of the primary that acts as a caller's role, which is not its own. One thread at a time.

    Postgres lets such a session change to any role that its own may take. On a connection of the caller's, it would let
    it change to those that the caller's role may take.
    """

    def __init__(self, connection: Any, session: PooledSession, start: Start) -> None:
        self._connection, self._session, self._start = connection, session, start

    def run(self, sql: bytes, run: Callable[[], None], *, may_change_role: bool) -> None:
        """Execute a statement, which ``run`` does; an error, and no effect, if it changes to a role that it may not.

        ``may_change_role`` says that functions or code that it calls may do so. The role is then looked at before the
        statement's transaction commits; what the code has done in between cannot be found out.
        """
        if not self.concerns(sql, may_change_role=may_change_role):
            return run()
        text = self._text(sql)
        changes = role_changes(text)
        hidden = may_change_role or changes.is_unclear
        if not (changes or hidden) or self._transaction == _IN_ERROR:
            return run()
        self._check(changes)
        if changes.is_unreadable and ";" in text:
            self._refuse(SYNTAX_ERROR, _UNREADABLE, "Nothing was executed. Execute the statements one by one.")
        if hidden and self._transaction == _IDLE and not controls_transactions(text):
            return self._run_in_transaction(run, changes)
        run()
        self._settle(changes, hidden=hidden)
        return None

    def concerns(self, sql: bytes, *, may_change_role: bool) -> bool:
        """Whether the guard may have to do something before or after a statement."""
        return not PASSIVE.fullmatch(sql) and (may_change_role or may_show_any(sql))

    def check_settings(self, sqls: Collection[bytes]) -> None:
        """Raise Refused if these session settings, which were made, have changed to a role that may not be taken."""
        changes = [role_changes(self._text(sql)) for sql in sqls if may_show_any(sql)]
        if not any(changes):
            return
        if any(change.to is None and not self._is_native(change) for found in changes for change in found.found):
            self._restore()
        if (refused := self._refused()) is not None:
            raise Refused(f"the caller's session settings: {refused}. Nothing was executed", reason=reasons.NO_ROLE)

    def _text(self, sql: bytes) -> str:
        text = sql.decode(ext.encodings.get(self._connection.encoding, "utf-8"), "replace")
        if "\\" in text and self._connection.get_parameter_status("standard_conforming_strings") == "off":
            return with_escapes_marked(text)
        return text

    @property
    def _transaction(self) -> int:
        status: int = self._connection.get_transaction_status()
        return status

    def _check(self, changes: RoleChanges) -> None:
        """Refuse changes that the text shows and that the caller's own role could not make."""
        for change in changes.found:
            if change.to is None:
                if not change.is_last and not self._is_native(change):
                    self._refuse(*self._own_role_in_between(change))
            elif not self._may_change(change, change.to):
                name = change.setting.replace("_", " ")
                self._refuse(INSUFFICIENT_PRIVILEGE, f'permission denied to set {name} "{change.to}"')

    def _is_native(self, change: RoleChange) -> bool:
        """Whether Postgres itself checks the change, since the caller's role is the user of the session."""
        return self._session.is_superuser and change.setting == "role"

    def _may_change(self, change: RoleChange, role: str) -> bool:
        """Whether the caller's own role may make this change; True if Postgres itself refuses what it may not."""
        if role == self._start.role or self._is_native(change):
            return True
        if change.setting == "role":
            return self._may_take(role) is not False
        return self._is_superuser() or self._may_take(role) is None

    def _may_take(self, role: str) -> bool | None:
        """Whether the caller's role may SET ROLE to another one; None if one of them does not exist."""
        mode = set_role_privilege(self._connection)
        found = self._ask(_MAY_TAKE.format(mode=mode, own=literal(self._start.role), taken=literal(role)))
        return None if found is None else found == "true"

    def _is_superuser(self) -> bool:
        return self._ask(_IS_SUPERUSER.format(own=literal(self._start.role))) == "true"

    def _run_in_transaction(self, run: Callable[[], None], changes: RoleChanges) -> None:
        """Run the statement in a transaction, which commits if the role is still one that the caller may take."""
        execute(self._connection, "BEGIN")
        try:
            run()
            self._settle(changes, hidden=True)
        except errors.InvalidTransactionTermination:  # a procedure or block that commits by itself
            execute(self._connection, "ROLLBACK")
            run()
            self._settle(changes, hidden=True)
        except BaseException:
            with suppress(psycopg2.Error):
                execute(self._connection, "ROLLBACK")
            raise
        else:
            execute(self._connection, "COMMIT")

    def _settle(self, changes: RoleChanges, *, hidden: bool) -> None:
        """Give the session the caller's role again if a statement has reset it; refuse one that it may not take."""
        resets = [change for change in changes.found if change.to is None and not self._is_native(change)]
        if resets:
            self._restore(local=resets[-1].is_local)
        if not hidden or (refused := self._refused()) is None:
            return
        if self._transaction != _IDLE:
            self._refuse(INSUFFICIENT_PRIVILEGE, refused)
        log.warning(
            "a statement of the role %r has committed as another one: %s",
            self._start.role,
            refused,
            extra={"event": "role_escaped", "role": self._start.role, "problem": refused},
        )
        self._restore()

    def _refused(self) -> str | None:
        """Why the role that the session has now is not one that the caller may take; None if it is."""
        if self._session.is_superuser:
            user = self._connection.get_parameter_status("session_authorization")
            if user == self._start.role or self._is_superuser():
                return None
            return f'permission denied to set session authorization "{user}"'
        role = self._ask(_CURRENT)
        if role == "none":
            self._restore()
            return None
        if role is None or role == self._start.role or self._may_take(role):
            return None
        return f'permission denied to set role "{role}"'

    def _restore(self, *, local: bool = False) -> None:
        for statement in self._session.statements_inside(self._start, AUTHORIZATION, local=local):
            execute(self._connection, statement.decode("ascii"))

    def _own_role_in_between(self, change: RoleChange) -> tuple[str, str, str]:
        words = "RESET ROLE" if change.setting == "role" else "RESET SESSION AUTHORIZATION"
        own, role = quoted(self._session.own.role), quoted(self._start.role)
        return (
            FEATURE_NOT_SUPPORTED,
            f"{words} in a block or among other commands would run the rest as {own}, the role of the node",
            f"Nothing was executed. Execute {words} by itself, or use SET ROLE {role}.",
        )

    def _refuse(self, sqlstate: str, message: str, hint: str | None = None) -> None:
        """Raise an error as the server would. A transaction that is open fails, as after any error."""
        role = self._start.role
        if (count := _refusals.since_last((role, sqlstate))) is not None:
            log.warning(
                "the node refused a statement of the role %r: %s%s",
                role,
                message,
                again(count),
                extra={"event": "role_refused", "role": role, "problem": message, "count": count},
            )
        abort_transaction(self._connection, sqlstate, message)
        raise made_error(sqlstate, message, hint)

    def _ask(self, sql: str) -> str | None:
        """The only value that a query returns, as text; None if it returns no row."""
        with text_cursor(self._connection) as cursor:
            cursor.execute(sql)
            row = cursor.fetchone()
        return None if row is None else str(row[0])


class GuardedCursor(ext.cursor):
    """A cursor that guards the statements of a caller, which come as bytes; those of fly_orm itself are text."""

    guard: RoleGuard
    may_change_role = False
    """Whether functions or code that the statements call may change the role."""

    def is_guarded(self, query: bytes) -> bool:
        """Whether a statement must be executed by this cursor, since its guard may have to do something."""
        return self.guard.concerns(query, may_change_role=self.may_change_role)

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  # psycopg2's name
        run = partial(super().execute, query, vars)
        if isinstance(query, bytes):
            self.guard.run(query, run, may_change_role=self.may_change_role)
        else:
            run()

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        self.guard.run(sql, partial(super().copy_expert, sql, file, size), may_change_role=self.may_change_role)
