"""The transaction modes of a connection, kept in Python because its C half is mostly in autocommit."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import psycopg2
from psycopg2 import extensions as ext

from ..routing.setting_changes import changed_here
from .transaction_mode import TransactionMode


class ConnectionModes(ext.connection):
    """Has the attributes and methods of psycopg2's connection for them (psycopg2's manual, connection.set_session)."""

    mode: TransactionMode
    _begun: bool
    """Whether the connection has begun a transaction by itself."""
    _holds_implicitly: bool
    """Whether a named cursor is open in a transaction that psycopg2 would have begun by itself."""

    @property
    def status(self) -> int:
        return ext.STATUS_BEGIN if self._begun or self._holds_implicitly else ext.STATUS_READY

    @property
    def autocommit(self) -> bool:
        return self.mode.autocommit

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        self.set_session(autocommit=value)

    @property
    def isolation_level(self) -> int | None:
        return self.mode.isolation_level

    @isolation_level.setter
    def isolation_level(self, value: Any) -> None:
        self.set_session(isolation_level="default" if value is None else value)

    @property
    def readonly(self) -> bool | None:
        return self.mode.readonly

    @readonly.setter
    def readonly(self, value: Any) -> None:
        self.set_session(readonly="default" if value is None else value)

    @property
    def deferrable(self) -> bool | None:
        return self.mode.deferrable

    @deferrable.setter
    def deferrable(self, value: Any) -> None:
        self.set_session(deferrable="default" if value is None else value)

    def set_isolation_level(self, level: int | None) -> None:
        self._check_open()
        mode = self.mode.with_level(level)
        self.rollback()
        self._change(mode)

    def set_session(
        self,
        isolation_level: Any = None,
        readonly: Any = None,
        deferrable: Any = None,
        autocommit: Any = None,
    ) -> None:
        self._check_open()
        if self.status == ext.STATUS_BEGIN:
            raise psycopg2.ProgrammingError("set_session cannot be used inside a transaction")
        modes = {
            "isolation_level": isolation_level,
            "readonly": readonly,
            "deferrable": deferrable,
            "autocommit": autocommit,
        }
        given = {name: value for name, value in modes.items() if value is not None}
        self._change(self.mode.changed(given), given)

    def _change(self, mode: TransactionMode, given: Collection[str] = ()) -> None:
        self._begun = True  # so that the statements below do not begin a transaction
        try:
            for name, value in mode.session_changes(self.mode, given).items():
                if not changed_here(self, name, value):
                    self.cursor(cursor_factory=ext.cursor).execute(f"SET {name} TO {value}")
        finally:
            self._begun = False
        self.mode = mode

    def _check_open(self) -> None:
        if self.closed:
            raise psycopg2.InterfaceError("connection already closed")
