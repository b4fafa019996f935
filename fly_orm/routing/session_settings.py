"""The caller's session settings, which every Postgres session on the primary gets that serves it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ..classify import Statement

#: Settings that change how Postgres reads and writes values, and that the server reports to libpq.
_REPORTED = ("TimeZone", "DateStyle", "IntervalStyle", "standard_conforming_strings")
#: RESET ALL does not reset these (Postgres manual, RESET and SET ROLE).
_NOT_RESET = ("role", "session_authorization")


class SessionSettings:
    """The statements that changed the settings of a session, the last one for each setting."""

    def __init__(self) -> None:
        self._changes: dict[str, bytes] = {}
        self._made: tuple[Any, list[bytes]] | None = None
        self.primary_only = False
        """Whether the primary alone accepts some of them."""

    def remember(self, statement: Statement, sql: bytes) -> None:
        """Note a SET, RESET or DISCARD that has taken effect."""
        self._made = None
        self.primary_only = (self.primary_only or statement.primary_only) and not statement.resets_all
        if statement.resets_all:
            self._reset(keep=() if statement.discards_all else _NOT_RESET)
        elif statement.name is None:
            self._changes[sql.decode("latin-1")] = sql
        else:
            self._changes.pop(statement.name, None)
            self._changes[statement.name] = sql

    def _reset(self, keep: Collection[str]) -> None:
        self._changes = {name: sql for name, sql in self._changes.items() if name in keep}

    def forget(self) -> None:
        """Note that the session has its initial settings again."""
        self._made, self.primary_only = None, False
        self._changes.clear()

    def profile(self, connection: Any, unreported: dict[str, str]) -> list[bytes]:
        """The statements that give a Postgres session on the primary the settings of this connection."""
        reported = tuple(connection.get_parameter_status(name) for name in _REPORTED)
        if self._made is None or self._made[0] != reported:
            values = {**unreported, **dict(zip(_REPORTED, reported, strict=True))}
            assignments = "; ".join(f"SET {name} TO {_quote(value)}" for name, value in values.items() if value)
            self._made = reported, [assignments.encode("ascii", "ignore"), *self._changes.values()]
        return self._made[1]


def _quote(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
