"""The caller's session settings, which every Postgres session on the primary gets that serves it."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from ..classify import SETTING_CHANGES, Statement
from ..local.starting import ISOLATION, SERIALIZABLE, lower_isolation
from ..postgres.starting import Start

#: Settings that change how Postgres reads and writes values, and that the server reports to libpq.
_REPORTED = ("TimeZone", "DateStyle", "IntervalStyle", "standard_conforming_strings")
#: RESET ALL does not reset these (Postgres manual, RESET and SET ROLE).
_NOT_RESET = ("role", "session_authorization")
_NOT_ASKED = frozenset({*_NOT_RESET, "client_encoding"})
_NAME = re.compile(r"(?!transaction_)[^\s(]+")


class SessionSettings:
    """What a session has begun with, and the statements that changed its settings, the last one for each setting."""

    def __init__(self, start: Start) -> None:
        self.start = start
        self.made: set[str] = set()
        """The customized settings that have a value in this session, or have had one."""
        self._changes: dict[str, bytes] = {}
        self._made: tuple[Any, list[bytes]] | None = None
        self._starts_serializable = start.settings.get(ISOLATION) == SERIALIZABLE
        self.primary_only = self._starts_serializable
        """Whether the primary alone accepts some of them."""

    @property
    def names(self) -> frozenset[str]:
        """The names, in lower case, of the settings that are known to have been changed and that can be asked for.

        The session on the primary may have a role and an encoding of its own, and a transaction's modes end with it.
        """
        changed = frozenset(name for key in self._changes for name in key.split(","))
        return frozenset(name for name in changed - _NOT_ASKED if _NAME.fullmatch(name))

    def has(self, name: str, sql: bytes) -> bool:
        """Whether this statement is known to have changed the setting last."""
        return self._changes.get(name) == sql

    def initial(self, connection: Any, unreported: dict[str, str]) -> dict[str, str | None]:
        """The settings, by name in lower case, that a session on the primary gets although nobody has changed them."""
        reported = {name.lower(): connection.get_parameter_status(name) for name in _REPORTED}
        return {**unreported, **reported, **self.start.settings}

    def remember(self, statement: Statement, sql: bytes) -> None:
        """Note a SET, RESET or DISCARD that has taken effect."""
        self._made = None
        self.primary_only = (self.primary_only or statement.primary_only) and not statement.resets_all
        self.note_made(statement)
        if statement.resets_all:
            self._reset(keep=() if statement.discards_all else _NOT_RESET)
        elif statement.name is None:
            self._changes[sql.decode("latin-1")] = sql
        else:
            self._changes.pop(statement.name, None)
            if not statement.resets:
                self._changes[statement.name] = sql

    def note_made(self, statement: Statement) -> None:
        """Note the customized settings to which a statement gives a value, for good or for a transaction.

        From then on they have an empty value, in any Postgres session that has run the statement, and not none.
        """
        if statement.kind in SETTING_CHANGES and "." in (statement.name or ""):
            self.made.update(name for name in (statement.name or "").split(",") if "." in name)

    def reset_by(self, statement: Statement) -> list[str]:
        """The settings that a statement gives their first values, which another Postgres session does not know."""
        if statement.resets_all:
            return ["*"]
        return [statement.name] if statement.resets and statement.name else []

    def _reset(self, keep: Collection[str]) -> None:
        self.primary_only = self._starts_serializable
        self._changes = {name: sql for name, sql in self._changes.items() if name in keep}

    def fit_replica(self, connection: Any) -> None:
        """Let a session on a replica, whose settings were reset, answer again."""
        if self._starts_serializable:
            lower_isolation(connection)

    def forget(self) -> None:
        """Note that the session has its initial settings again."""
        self._made, self.primary_only = None, self._starts_serializable
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
