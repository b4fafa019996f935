"""The transaction modes that a psycopg2 connection can be set to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from psycopg2 import extensions as ext

_NAMES = {
    ext.ISOLATION_LEVEL_READ_UNCOMMITTED: "READ UNCOMMITTED",
    ext.ISOLATION_LEVEL_READ_COMMITTED: "READ COMMITTED",
    ext.ISOLATION_LEVEL_REPEATABLE_READ: "REPEATABLE READ",
    ext.ISOLATION_LEVEL_SERIALIZABLE: "SERIALIZABLE",
}
_LEVELS = {name: level for level, name in _NAMES.items()}


class _Unchanged:
    """Says that an argument was not given."""


UNCHANGED = _Unchanged()


@dataclass(frozen=True, kw_only=True)
class TransactionMode:
    """How transactions begin; None leaves a mode to the server's default (psycopg2's manual, set_session)."""

    autocommit: bool = False
    isolation_level: int | None = None
    readonly: bool | None = None
    deferrable: bool | None = None

    def changed(self, isolation_level: Any, readonly: Any, deferrable: Any, autocommit: Any) -> TransactionMode:
        """These modes with those that were given; ValueError or TypeError as psycopg2 raises it."""
        changes: dict[str, Any] = {}
        if isolation_level is not UNCHANGED:
            changes["isolation_level"] = _level(isolation_level)
        if readonly is not UNCHANGED:
            changes["readonly"] = _switch(readonly)
        if deferrable is not UNCHANGED:
            changes["deferrable"] = _switch(deferrable)
        if autocommit is not UNCHANGED:
            changes["autocommit"] = bool(autocommit)
        return replace(self, **changes)

    def with_level(self, level: int | None) -> TransactionMode:
        """These modes after ``set_isolation_level``, where 0 means autocommit."""
        if level == ext.ISOLATION_LEVEL_AUTOCOMMIT:
            return replace(self, autocommit=True, isolation_level=None)
        return replace(self, autocommit=False, isolation_level=_level(level))

    @property
    def begin(self) -> str:
        """The statement that begins a transaction."""
        words = ["BEGIN"]
        if self.isolation_level is not None:
            words.append(f"ISOLATION LEVEL {_NAMES[self.isolation_level]}")
        if self.readonly is not None:
            words.append("READ ONLY" if self.readonly else "READ WRITE")
        if self.deferrable is not None:
            words.append("DEFERRABLE" if self.deferrable else "NOT DEFERRABLE")
        return " ".join(words)

    @property
    def replica_serves(self) -> bool:
        """Whether a replica can serve such a transaction: a read-only one that is not serializable."""
        return bool(self.readonly) and self.isolation_level != ext.ISOLATION_LEVEL_SERIALIZABLE


def _level(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, str):
        name = value.upper()
        if name in _LEVELS or name == "DEFAULT":
            return _LEVELS.get(name)
    elif value in _NAMES:
        return int(value)
    raise ValueError("bad value for isolation_level: " + repr(value))


def _switch(value: Any) -> bool | None:
    if value is None or (isinstance(value, str) and value.upper() == "DEFAULT"):
        return None
    if isinstance(value, bytes | str):
        raise ValueError(f"bad value: {value!r} (expected a boolean, None or 'default')")
    return bool(value)
