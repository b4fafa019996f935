"""How the Postgres session of a pooled connection becomes one that has begun as its caller's."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from typing import Any

import psycopg2
from psycopg2.errorcodes import INSUFFICIENT_PRIVILEGE

from ..classify.session_change import AUTHORIZATION
from ..errors import Refused
from ..protocol import reasons
from .cursors import text_cursor
from .starting import Start, read_assigned, read_start
from .write_ahead_log import UNLOCK

log = logging.getLogger("fly_orm")

#: The parts of DISCARD ALL (Postgres manual), which itself may not share a string with other statements; but not
#: DISCARD PLANS, as plans do no harm, nor DISCARD SEQUENCES, for which see :mod:`fly_orm.postgres.sequences`. RESET
#: ROLE returns to a role that ALTER ROLE … SET role has given.
CLEAN = (
    UNLOCK.encode() + b"; SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; RESET ALL; CLOSE ALL; DEALLOCATE ALL;"
    b" UNLISTEN *; DISCARD TEMP"
)
#: Settings that no session can change (Postgres manual, pg_settings, contexts ``backend`` and ``superuser-backend``),
#: and those that are given by other means.
_FIXED = frozenset(
    {
        "client_encoding",
        "ignore_system_indexes",
        "jit_debugging_support",
        "jit_profiling_support",
        "log_connections",
        "log_disconnections",
        "post_auth_delay",
        "role",
        "session_authorization",
    }
)
#: Those whose values SET quotes as identifiers (GUC_LIST_QUOTE in Postgres' guc.h).
_LISTS_OF_NAMES = frozenset({"search_path", "temp_tablespaces", "session_preload_libraries"})
#: A part of such a list that SET spells in the same way: without quotes unless they are needed.
_PLAIN_NAME = re.compile(r'[a-z_][a-z0-9_]*|"\$user"')
#: Only superusers may change settings with these prefixes, and no statement does anything else under them.
_OF_THE_LOG = ("log_", "track_", "debug_")


def changes(own: Start, start: Start, *, superuser: bool) -> list[tuple[str, str | None]]:
    """The settings that turn a session which has begun as ``own`` into one that has begun as ``start``, in order.

    None is the value that Postgres has built in. A superuser changes the session's user, so that RESET ROLE does not
    lead back; everybody else can only change the current role.
    """
    different = {name: value for name, value in start.settings.items() if own.settings.get(name) != value}
    missing = dict.fromkeys(own.settings.keys() - start.settings.keys())
    values: list[tuple[str, str | None]] = [
        (name, value)
        for name, value in [*different.items(), *missing.items()]
        if name not in _FIXED and (superuser or not name.startswith(_OF_THE_LOG))
    ]
    role = start.settings.get("role")
    if start.role == own.role:
        return values if role == own.settings.get("role") else [*values, ("role", role or "none")]
    then: list[tuple[str, str | None]] = [("role", role)] if role else []
    if superuser:
        return [*values, ("session_authorization", start.role), *then]
    return [("role", start.role), *values, *then]


class PooledSession:
    """The Postgres session of a pooled connection, which is new. One thread at a time."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.is_superuser = connection.get_parameter_status("is_superuser") == "on"
        """Whether its own role is a superuser: a caller's role is then the user of the session, too."""
        self.own = read_start(connection)
        self._built_in: dict[str, str | None] | None = None

    def acts_as_another(self, start: Start | None) -> bool:
        """Whether a caller has logged in as another role."""
        return start is not None and start.role != self.own.role

    def is_outdated(self) -> bool:
        """Whether a new session would begin differently, because of an ALTER ROLE or ALTER DATABASE … SET."""
        return read_start(self._connection) != self.own

    def as_of_now(self, start: Start, requested: Collection[str]) -> Start:
        """What a session would begin with that began now, with the same role and what its client requests."""
        own = {name: start.settings[name] for name in requested if name in start.settings}
        return Start(start.role, {**read_assigned(self._connection, start.role), **own})

    def statements(self, start: Start | None, names: Collection[str] = ("*", *AUTHORIZATION)) -> list[bytes]:
        """What gives the session the start of a caller's, or only these settings of it; nothing if that is its own.

        ``*`` stands for all but the role and the session's user, as in RESET ALL.
        """
        assignments = [set_config(name, value) for name, value in self._wanted(start, names)]
        return [f"SELECT {', '.join(assignments)}".encode()] if assignments else []

    def statements_inside(self, start: Start | None, names: Collection[str], *, local: bool = False) -> list[bytes]:
        """The same for the caller's transaction. None of them takes a snapshot, as no SET or RESET does.

        ``local`` says that the settings end with the transaction.
        """
        return [set_command(name, value, local=local).encode() for name, value in self._wanted(start, names)]

    def _wanted(self, start: Start | None, names: Collection[str]) -> list[tuple[str, str]]:
        """The values, in order, that the session has to be given of these settings."""
        if start is None or start == self.own:
            return []
        wanted = changes(self.own, start, superuser=self.is_superuser)
        return [
            (name, value)
            for name, value in map(self._with_value, wanted)
            if value is not None and (name in names or ("*" in names and name not in AUTHORIZATION))
        ]

    def refusal(self, start: Start, error: psycopg2.Error) -> Refused:
        """The error for a caller whose start the session cannot be given."""
        own, role = quoted(self.own.role), quoted(start.role)
        because = f"{str(error).strip()}. Nothing was executed"
        if "parameter" in str(error):
            hint = (
                f". On the primary, GRANT SET ON PARAMETER … TO {own}" if error.pgcode == INSUFFICIENT_PRIVILEGE else ""
            )
            return Refused(
                f"the caller's session begins with a setting that {own}, the role of this node, cannot make: "
                f"{because}{hint}",
                reason=reasons.NO_ROLE,
            )
        return Refused(
            f"this node connects to {self._connection.info.dbname!r} as {own}, which may not act as {role}, the role "
            f"of the caller: {because}. On the primary, GRANT {role} TO {own}; or let both connect as the same role; "
            f"or serve a database object that connects as {role} under a name of its own (wrap(…, name=…))",
            reason=reasons.NO_ROLE,
        )

    def _with_value(self, wanted: tuple[str, str | None]) -> tuple[str, str | None]:
        """The setting with its built-in value in place of None; None remains if this role may not change it.

        No session can tell the value in the server's configuration of a setting that its role or client overrides.
        """
        name, value = wanted
        if value is not None:
            return wanted
        if self._built_in is None:
            self._built_in = self._read_built_in()
        return name, self._built_in.get(name, "")

    def _read_built_in(self) -> dict[str, str | None]:
        with text_cursor(self._connection) as cursor:
            cursor.execute(
                "SELECT name, boot_val, context FROM pg_catalog.pg_settings WHERE lower(name) = ANY (%s)",
                (list(self.own.settings),),
            )
            return {
                name.lower(): (value or "") if context == "user" or self.is_superuser else None
                for name, value, context in cursor.fetchall()
            }


def set_config(name: str, value: str, *, local: bool = False) -> str:
    """The call that gives a setting a value."""
    return f"pg_catalog.set_config({literal(name)}, {literal(value)}, {str(local).lower()})"


def set_command(name: str, value: str, *, local: bool = False) -> str:
    """The command that gives a setting a value; a query, which takes a snapshot, if SET would spell it differently.

    SET quotes the parts of some lists, each of which has to be a literal of its own then.
    """
    parts = [value]
    if not name.isascii():
        return f"SELECT {set_config(name, value, local=local)}"
    if name in _LISTS_OF_NAMES:
        parts = [part.strip() for part in value.split(",")]
        if not all(map(_PLAIN_NAME.fullmatch, parts)) or value != ", ".join(parts):
            return f"SELECT {set_config(name, value, local=local)}"
        parts = [part.strip('"') for part in parts]
    setting = ".".join(map(quoted, name.split(".")))
    return f"SET {'LOCAL' if local else 'SESSION'} {setting} TO {', '.join(map(literal, parts))}"


def literal(value: str | None) -> str:
    """A literal in ASCII, whatever the client encoding and the settings of the session."""
    return "E'" + "".join(map(_escape, value or "")) + "'"


def _escape(character: str) -> str:
    if character in "'\\":
        return "\\" + character if character == "\\" else "''"
    return character if character.isascii() else f"\\U{ord(character):08x}"


def quoted(role: str) -> str:
    """A role's name as an identifier."""
    return '"' + role.replace('"', '""') + '"'


def warn_of_superuser(database: str, session: PooledSession, start: Start) -> None:
    """Log that callers of other roles are served by a superuser's session."""
    own, role = session.own.role, start.role
    log.warning(
        "this node connects to %r as %r, a superuser, and executes statements of the role %r: a function or a DO block "
        "of a caller could act as any role. Connect the node as a role without privileges of its own that is a member "
        "of its callers' roles",
        database,
        own,
        role,
        extra={"event": "node_is_superuser", "database": database, "node_role": own, "role": role},
    )
