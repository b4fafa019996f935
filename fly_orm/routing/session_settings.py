"""The caller's session settings, which every Postgres session on the primary gets that serves it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from psycopg2 import extensions as ext

from ..classify import SETTING_CHANGES, Statement
from ..local.starting import ISOLATION, SERIALIZABLE, lower_isolation
from ..postgres.starting import Start, requested

#: Settings that change how Postgres reads and writes values, and that the server reports to libpq.
_REPORTED = ("TimeZone", "DateStyle", "IntervalStyle", "standard_conforming_strings")
#: The name of a setting that set_config() is called with.
_SET_CONFIG = re.compile(rb"set_config\s*\(\s*E?'([\w.$]+)'", re.IGNORECASE)
#: That of one of several statements in a string.
_SET_AMONG_OTHERS = re.compile(
    rb"(?:^|;)\s*SET\s+(?:SESSION\s+|LOCAL\s+)?([\w$]+(?:\.[\w$]+)+)\s*(?:=|TO\b)", re.IGNORECASE
)
#: RESET ALL does not reset these (Postgres manual, RESET and SET ROLE).
_NOT_RESET = ("role", "session_authorization")
_ONE_SNAPSHOT = frozenset({SERIALIZABLE, "repeatable read"})
_NOT_ASKED = frozenset({*_NOT_RESET, "client_encoding"})
_NAME = re.compile(r"(?!transaction_)[^\s(]+")


class SessionSettings:
    """What a session has begun with, and the statements that changed its settings, the last one for each setting."""

    def __init__(self, start: Start) -> None:
        self.start = start
        self.made: set[str] = set()
        """The customized settings that have a value in this session, or have had one."""
        self._changes: dict[str, bytes] = {}
        self._not_here: dict[str, bytes] = {}
        """Those of them that no replica accepts."""
        self._cached: tuple[Any, list[bytes]] | None = None
        """The profile, and what it depends on besides the changes."""
        self.start_is_old = False
        """Whether the server may have lacked what the session had seen, when the connection was opened."""
        self.is_ahead = False
        """Whether the start is the primary's, and differs from that of the session on the replica."""
        self._starts_serializable = start.settings.get(ISOLATION) == SERIALIZABLE
        self.primary_only = self._starts_serializable
        """Whether the primary alone accepts some of them."""
        self._starts_with_one_snapshot = start.settings.get(ISOLATION, "").lower() in _ONE_SNAPSHOT
        self.one_snapshot = self._starts_with_one_snapshot
        """Whether a transaction reads one snapshot, unless its own isolation level says otherwise."""

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
        self._cached = None
        self.primary_only = (self.primary_only or statement.primary_only) and not statement.resets_all
        self.note_made(statement, [sql])
        if statement.one_snapshot is not None:
            self.one_snapshot = statement.one_snapshot
        elif statement.resets and statement.name == ISOLATION:
            self.one_snapshot = self._starts_with_one_snapshot
        if statement.resets_all:
            self._reset(keep=() if statement.discards_all else _NOT_RESET)
            return
        name = statement.name or sql.decode("latin-1")
        self._changes.pop(name, None)
        self._not_here.pop(name, None)
        if not statement.resets:
            self._changes[name] = sql
            if statement.primary_only:
                self._not_here[name] = sql

    def note_made(self, statement: Statement, sqls: Iterable[bytes]) -> None:
        """Note the customized settings to which statements give a value, for good or for a transaction.

        From then on they have at least an empty value in the Postgres session, and are not missing.
        """
        names = (statement.name or "").split(",") if statement.kind in SETTING_CHANGES else []
        for sql in sqls:
            if b"set_config" in sql or b"SET_CONFIG" in sql:
                names += _names(_SET_CONFIG, sql)
            if b";" in sql:
                names += _names(_SET_AMONG_OTHERS, sql)
        self.made.update(name for name in names if "." in name)

    def reset_by(self, statement: Statement) -> list[str]:
        """The settings that a statement gives their first values, which another Postgres session does not know."""
        if statement.resets_all:
            return ["*"]
        return [statement.name] if statement.resets and statement.name else []

    def _reset(self, keep: Collection[str]) -> None:
        self.primary_only = self._starts_serializable or self.is_ahead
        self.one_snapshot = self._starts_with_one_snapshot
        self._changes = {name: sql for name, sql in self._changes.items() if name in keep}
        self._not_here.clear()

    def start_fields(self, connection: Any) -> dict[str, Any]:
        """What a request has to say of the start, to open a lease."""
        names = list(requested(connection.info.dsn_parameters)) if self.start_is_old else None
        return {
            "role": self.start.role,
            "start_settings": dict(self.start.settings),
            "requested_settings": names,
        }

    def take_start(self, settings: dict[str, str] | None) -> None:
        """Take over what the session on the primary has begun with, if that is known.

        If it differs, reads on the replica, whose session has begun with something else, would not go with the writes.
        """
        self.start_is_old = self.start_is_old and settings is None
        if settings is not None and settings != self.start.settings:
            self.start, self.is_ahead, self.primary_only = Start(self.start.role, settings), True, True

    def fit_replica(self, connection: Any) -> None:
        """Let a session on a replica, whose settings were reset, answer again."""
        if self._starts_serializable:
            lower_isolation(connection)

    def leave_replica(self, connection: Any) -> None:
        """Give the session, whose replica has been promoted, the settings that no replica accepts."""
        lowered = self._starts_serializable and ISOLATION not in self._changes
        with ext.cursor(connection) as cursor:  # not one that routes
            for sql in [*([f"RESET {ISOLATION}".encode()] if lowered else []), *self._not_here.values()]:
                cursor.execute(sql)

    def forget(self) -> None:
        """Note that the session has its initial settings again."""
        self._cached = None
        self._reset(keep=())

    def profile(self, connection: Any, unreported: dict[str, str]) -> list[bytes]:
        """The statements that give a Postgres session on the primary the settings of this connection."""
        reported = tuple(connection.get_parameter_status(name) for name in _REPORTED)
        key = reported, len(self.made)
        if self._cached is None or self._cached[0] != key:
            values = {**unreported, **dict(zip(_REPORTED, reported, strict=True))}
            assignments = "; ".join(f"SET {name} TO {_quote(value)}" for name, value in values.items() if value)
            self._cached = key, [assignments.encode("ascii", "ignore"), *self._emptied(), *self._changes.values()]
        return self._cached[1]

    def _emptied(self) -> list[bytes]:
        """The statements that make those customized settings empty, and not missing, which have had a value."""
        valued = {name.lower() for name in (*self._changes, *self.start.settings)}
        names = (name.split(".") for name in sorted(self.made - valued))
        return [f"SET {'.'.join(map(_identifier, parts))} TO ''".encode() for parts in names]


def _names(pattern: re.Pattern[bytes], sql: bytes) -> list[str]:
    return [name.decode("latin-1").lower() for name in pattern.findall(sql)]


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _quote(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
