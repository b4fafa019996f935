"""The caller's session settings, which every Postgres session on the primary gets that serves it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from psycopg2 import extensions as ext

from ..classify import SessionChange, Statement
from ..classify.session_settings import breaks_reads
from ..local.starting import ISOLATION, SERIALIZABLE, lower_isolation
from ..postgres.session_report import assignment
from ..postgres.starting import Start, requested

#: Settings that change how Postgres reads and writes values, and that the server reports to libpq.
_REPORTED = ("TimeZone", "DateStyle", "IntervalStyle", "standard_conforming_strings")
_ONE_SNAPSHOT = frozenset({SERIALIZABLE, "repeatable read"})
#: They decide where transactions run, and so have to be known at once.
_MODES = frozenset({ISOLATION, "default_transaction_read_only"})
_NOT_ASKED = frozenset({"client_encoding"})
_NAME = re.compile(r"(?!transaction_)[^\s(]+")


class SessionSettings:
    """What a session has begun with, and the settings that were changed in it.

    The replica's session has them, and is asked for those that statements may have changed there when the primary needs
    to know: only it can tell what an expression returned, what a savepoint undid, and what a function did.
    """

    def __init__(self, start: Start) -> None:
        self.start = start
        self.made: set[str] = set()
        """The customized settings that have a value in this session, or have had one."""
        self._values: dict[str, str] = {}
        """The changed settings in the order of their last changes, which can depend on one another."""
        self._not_here: set[str] = set()
        """Those of them that the session on the replica does not have: no replica accepts them, or it refused them."""
        self._stale: dict[str, None] = {}
        """The settings that the session on the replica has to be asked for."""
        self._anything_stale = False
        """Whether it has to be asked for all others, too."""
        self._cached: tuple[Any, list[bytes]] | None = None
        """The profile, and what it depends on besides the values."""
        self.start_is_old = False
        """Whether the server may have lacked what the session had seen, when the connection was opened."""
        self.is_ahead = False
        """Whether the start is the primary's, and differs from that of the session on the replica."""
        self._conclude()

    def _conclude(self) -> None:
        self._cached = None
        level = self._values.get(ISOLATION, self.start.settings.get(ISOLATION, "")).lower()
        self.one_snapshot = level in _ONE_SNAPSHOT
        """Whether a transaction reads one snapshot, unless its own isolation level says otherwise."""
        refused = {name for name in self._not_here if not breaks_reads(name, self._values[name])}
        self.pins_reads = self.is_ahead or bool(refused)
        """Whether the session on the replica lacks a setting that reads may depend on."""
        self.primary_only = self.pins_reads or bool(self._not_here) or level == SERIALIZABLE
        """Whether the primary alone accepts some of them."""

    @property
    def names(self) -> frozenset[str]:
        """The names, in lower case, of the settings that are known to have been changed."""
        return frozenset(self._values)

    @property
    def tenancy(self) -> dict[str, str]:
        """The settings that may choose a tenant, by name in lower case: customized ones, and the search path."""
        known = {name.lower(): value for name, value in self.start.settings.items()} | self._values
        return {name: value for name, value in known.items() if value and ("." in name or name == "search_path")}

    # The session on the replica

    def may_have_changed(self, changes: SessionChange) -> None:
        """Note what a statement may have changed in the session on the replica."""
        names = self.names | self._stale.keys() if changes.resets else frozenset()
        for name in sorted(_asked(changes.settings | names), key=_depends):
            self._stale.pop(name, None)
            self._stale[name] = None
        self._anything_stale |= changes.anything

    def may_make(self, changes: SessionChange) -> frozenset[str]:
        """The customized settings that are missing as far as is known, and may be no longer after such changes."""
        return changes.customized - self.made

    def will_run(self, changes: SessionChange) -> None:
        """Note what a statement that is about to run may change: a setting may exist afterwards even if it fails."""
        if made := self.may_make(changes):
            self._stale.update(dict.fromkeys(sorted(made - self._stale.keys())))

    @property
    def is_stale(self) -> bool:
        """Whether the session on the replica has to be asked before the primary executes something."""
        return self._anything_stale or bool(self._stale)

    @property
    def is_needed(self) -> bool:
        """Whether it has to be asked as soon as no transaction is open there."""
        return self._anything_stale or not _MODES.isdisjoint(self._stale)

    def may_differ(self, name: str) -> bool:
        """Whether the session on the replica may have another value of a setting than is known."""
        return self._anything_stale or name in self._stale

    def take_stale(self) -> tuple[list[str], bool]:
        """The names of the settings that have to be asked for, and whether others do, which counts as done now."""
        names = list(self._stale)
        if self._anything_stale:
            names = [*sorted(self.names - self._not_here - self._stale.keys(), key=_depends), *names]
        taken = names, self._anything_stale
        self._stale, self._anything_stale = {}, False
        return taken

    def give_back(self, names: Iterable[str], *, anything: bool) -> None:
        """Note that the session on the replica could not be asked for these settings."""
        self._stale = dict.fromkeys([*names, *self._stale])
        self._anything_stale |= anything

    # The values

    def take(self, settings: Mapping[str, str | None], *, here: bool = True) -> None:
        """Take over values, by name in lower case; None is a setting that is as the session has begun.

        ``here`` says whether the session on the replica has them.
        """
        for name, value in settings.items():
            self._values.pop(name, None)
            self._not_here.discard(name)
            if "." in name and value is not None:
                self.made.add(name)
            if value is None or value == self.first(name):
                continue
            self._values[name] = value
            if not here:
                self._not_here.add(name)
        self._conclude()

    def changed(self, name: str) -> str | None:
        """The value that a setting was given; None if it is as the session has begun, as far as is known."""
        return self._values.get(name)

    def value_of(self, name: str) -> str | None:
        """The value that a setting has, if it is known to differ from that of the server's other sessions."""
        return self._values.get(name, self.start.settings.get(name))

    def first(self, name: str) -> str | None:
        """The value that the session has begun with, if that is known."""
        value = self.start.settings.get(name)
        if value is None:
            value = {"role": "none", "session_authorization": self.start.role}.get(name)
        return "" if value is None and "." in name else value

    def differs(self, name: str, value: str | None, initial: Mapping[str, str | None]) -> bool:
        """Whether the value that a session on the primary has is another one than is known."""
        if name in self._values:
            return self._values[name] != value
        if value is None or value == self.first(name):
            return value is not None and "." in name and name not in self.made
        return name in self.made or value != initial.get(name)

    def reset_by(self, statement: Statement) -> list[str]:
        """The settings that a statement gives their first values, which another Postgres session does not know."""
        if statement.resets_all:
            return ["*"]
        return statement.name.split(",") if statement.resets and statement.name else []

    def forget(self) -> None:
        """Note that the session has its initial settings again."""
        self._values, self._not_here = {}, set()
        self._stale = {name: None for name in self._stale if "." in name}  # they may be empty now, and not missing
        self._conclude()

    # The start

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
            self.start, self.is_ahead = Start(self.start.role, settings), True
            self._conclude()

    def fit_replica(self, connection: Any) -> None:
        """Let a session on a replica, whose settings were reset, answer again."""
        if self.start.settings.get(ISOLATION) == SERIALIZABLE:
            lower_isolation(connection)

    def leave_replica(self, connection: Any) -> None:
        """Give the session, whose replica has been promoted, the settings that no replica accepts."""
        lowered = self.start.settings.get(ISOLATION) == SERIALIZABLE and ISOLATION not in self._values
        with ext.cursor(connection) as cursor:  # not one that routes
            if lowered:
                cursor.execute(f"RESET {ISOLATION}")
            for sql in self.statements(connection, [name for name in self._values if name in self._not_here]):
                cursor.execute(sql)

    # Sessions on the primary

    def initial(self, connection: Any, unreported: dict[str, str]) -> dict[str, str | None]:
        """The settings, by name in lower case, that a session on the primary gets although nobody has changed them."""
        reported = {name.lower(): connection.get_parameter_status(name) for name in _REPORTED}
        return {**unreported, **reported, **self.start.settings}

    def profile(self, connection: Any, unreported: dict[str, str]) -> list[bytes]:
        """The statements that give a Postgres session on the primary the settings of this connection."""
        ask = connection.get_parameter_status
        reported = (ask("TimeZone"), ask("DateStyle"), ask("IntervalStyle"), ask("standard_conforming_strings"))
        key = reported, len(self.made)
        if self._cached is None or self._cached[0] != key:
            values = {**unreported, **dict(zip(_REPORTED, reported, strict=True))}
            assignments = "; ".join(f"SET {name} TO {_quote(value)}" for name, value in values.items() if value)
            told = {name.lower(): value for name, value in values.items()}
            changed = self.statements(
                connection, [name for name, value in self._values.items() if told.get(name) != value]
            )
            self._cached = key, [assignments.encode("ascii", "ignore"), *self._emptied(), *changed]
        return self._cached[1]

    def statements(self, connection: Any, names: Collection[str]) -> list[bytes]:
        """The statements that give a Postgres session which has begun as this one these settings."""
        encoding = connection.get_parameter_status("server_encoding")
        values = [assignment(name, self._values[name], encoding) for name in names if name in self._values]
        resets = [f"RESET {quoted_name(name)}" for name in names if name not in self._values]
        return [sql.encode() for sql in (*resets, *([f"SELECT {', '.join(values)}"] if values else []))]

    def _emptied(self) -> list[bytes]:
        """The statements that make those customized settings empty, and not missing, which have had a value."""
        valued = {name.lower() for name in (*self._values, *self.start.settings)}
        return [f"SET {quoted_name(name)} TO ''".encode() for name in sorted(self.made - valued)]


def _asked(names: Iterable[str]) -> list[str]:
    """Those of these names that a session can be asked for: a transaction's modes end with it."""
    return [name for name in names if name not in _NOT_ASKED and _NAME.fullmatch(name)]


def _depends(name: str) -> tuple[int, str]:
    """A key that sorts settings so that what decides which of them a session may change comes last."""
    return {"session_authorization": 1, "role": 2}.get(name, 0), name


def quoted_name(name: str) -> str:
    """The name of a setting as an SQL command has to spell it."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))


def _quote(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
