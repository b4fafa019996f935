"""The transaction modes of a psycopg2 connection."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from psycopg2 import extensions as ext

_NAMES = {
    ext.ISOLATION_LEVEL_READ_UNCOMMITTED: "READ UNCOMMITTED",
    ext.ISOLATION_LEVEL_READ_COMMITTED: "READ COMMITTED",
    ext.ISOLATION_LEVEL_REPEATABLE_READ: "REPEATABLE READ",
    ext.ISOLATION_LEVEL_SERIALIZABLE: "SERIALIZABLE",
}
_DEFAULTS = {None: "DEFAULT", True: "on", False: "off"}
_SETTINGS = {
    "isolation_level": "default_transaction_isolation",
    "readonly": "default_transaction_read_only",
    "deferrable": "default_transaction_deferrable",
}
_LEVELS = {name: level for level, name in _NAMES.items()}


@dataclass(frozen=True, kw_only=True)
class TransactionMode:
    """How transactions begin. None leaves a mode to the server's default (psycopg2's manual, set_session)."""

    autocommit: bool = False
    isolation_level: int | None = None
    readonly: bool | None = None
    deferrable: bool | None = None

    def changed(self, given: Mapping[str, Any]) -> TransactionMode:
        """These modes, changed by arguments of ``set_session``; ValueError or TypeError as psycopg2 raises them."""
        return replace(self, **{name: _READ[name](value) for name, value in given.items()})

    def with_level(self, level: int | None) -> TransactionMode:
        """These modes after ``set_isolation_level``, where 0 means autocommit."""
        if level == ext.ISOLATION_LEVEL_AUTOCOMMIT:
            return replace(self, autocommit=True)
        if level is not None and level not in _NAMES:
            raise ValueError("isolation level must be between 0 and 4")
        return replace(self, autocommit=False, isolation_level=level)

    def session_changes(self, before: TransactionMode, given: Collection[str] = ()) -> dict[str, str]:
        """The settings that psycopg2 makes to take on these modes, of which those that are ``given`` were asked for.

        In autocommit, where no BEGIN states them, it sets what was asked for, changed or not. When it leaves
        autocommit, it resets what is not at the server's default.
        """
        if self.autocommit:
            values = {name: value for name, value in self._defaults.items() if name in given}
        elif before.autocommit:
            values = {name: "DEFAULT" for name, value in before._defaults.items() if value != "DEFAULT"}
        else:
            values = {}
        return {_SETTINGS[name]: value for name, value in values.items()}

    @property
    def _defaults(self) -> dict[str, str]:
        level = self.isolation_level
        return {
            "isolation_level": "DEFAULT" if level is None else f"'{_NAMES[level].lower()}'",
            "readonly": _DEFAULTS[self.readonly],
            "deferrable": _DEFAULTS[self.deferrable],
        }

    @property
    def begin(self) -> str:
        """The statement that begins a transaction."""
        return " ".join(["BEGIN", *self._words])

    @property
    def set_transaction(self) -> str:
        """The statement that gives an open transaction these modes; empty if they are the server's defaults."""
        return " ".join(["SET TRANSACTION", *self._words]) if self._words else ""

    @property
    def _words(self) -> list[str]:
        words = []
        if self.isolation_level is not None:
            words.append(f"ISOLATION LEVEL {_NAMES[self.isolation_level]}")
        if self.readonly is not None:
            words.append("READ ONLY" if self.readonly else "READ WRITE")
        if self.deferrable is not None:
            words.append("DEFERRABLE" if self.deferrable else "NOT DEFERRABLE")
        return words

    @property
    def isolation(self) -> str | None:
        """The name of the isolation level; None for the server's default."""
        return None if self.isolation_level is None else _NAMES[self.isolation_level]

    @cached_property
    def begins_late(self) -> bool | None:
        """Whether a transaction may begin after reads that belong to it; None if the server's default level decides."""
        return False if self.replica_serves else begins_late(self.isolation)

    @property
    def replica_serves(self) -> bool:
        """Whether a replica can run such a transaction: it is read-only and not serializable."""
        return bool(self.readonly) and self.isolation_level != ext.ISOLATION_LEVEL_SERIALIZABLE


def begins_late(isolation: str | None) -> bool | None:
    """Whether a transaction of this level may begin after reads of its own; None if the default level decides.

    Each of its statements has to have a snapshot of its own. READ UNCOMMITTED is READ COMMITTED (Postgres manual,
    Transaction Isolation), but a statement outside of the transaction would show another level.
    """
    return None if isolation is None else isolation == _NAMES[ext.ISOLATION_LEVEL_READ_COMMITTED]


def _level(value: Any) -> int | None:
    """The level that is given by its name or number."""
    if not isinstance(value, str | bytes):
        if value not in _NAMES:
            raise ValueError("isolation_level must be between 1 and 4")
        return int(value)
    name = _text(value).upper()
    if name not in _LEVELS and name != "DEFAULT":
        raise ValueError(f"bad value for isolation_level: '{_text(value)}'")
    return _LEVELS.get(name)


def _switch(value: Any) -> bool | None:
    if not isinstance(value, str | bytes):
        return bool(value)
    if _text(value).upper() != "DEFAULT":
        raise ValueError(f"the only string accepted is 'default'; got {_text(value)}")
    return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


_READ: dict[str, Callable[[Any], Any]] = {
    "isolation_level": _level,
    "readonly": _switch,
    "deferrable": _switch,
    "autocommit": bool,
}
