"""What a Postgres session begins with: its role, and the settings that its role, its database or its client give it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from ..settings import geqo_from_environment
from .cursors import text_cursor

# The first to name a setting wins (process_settings in Postgres' postinit.c). Everybody may assign any role to
# themselves; Postgres ignores it at login, with a warning, unless the role may SET ROLE to it.
_ASSIGNED = """
    SELECT assignment FROM (
        SELECT pg_catalog.unnest(setconfig) AS assignment, own.oid AS own, setrole, setdatabase
        FROM pg_catalog.pg_db_role_setting, pg_catalog.pg_roles own
        WHERE own.rolname = coalesce(%(role)s, session_user) AND setrole IN (0, own.oid)
            AND setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
    ) assigned
    WHERE assignment NOT ILIKE 'role=%%' OR assignment = 'role=none' OR EXISTS (
        SELECT FROM pg_catalog.pg_roles taken
        WHERE 'role=' || taken.rolname = assignment AND pg_has_role(own, taken.oid, %(mode)s))
    ORDER BY setrole = 0, setdatabase = 0"""
#: From this version on, a membership may exclude SET ROLE (Postgres manual, GRANT, "SET option").
_SET_OPTION_VERSION = 160000
#: One column that changes when ALTER ROLE or ALTER DATABASE … SET does.
ASSIGNED_VERSION = (
    "(SELECT pg_catalog.hashtextextended(pg_catalog.string_agg(xmin::text, ' '), 0)::text"
    " FROM pg_catalog.pg_db_role_setting)"
)
#: Options of the server's command line that only set a setting (Postgres manual, postgres, "Short Options").
_LETTERS = {"-S": "work_mem"}


class Start(msgspec.Struct, frozen=True):
    """The role that a Postgres session has logged in as, and the settings that it begins with.

    Settings that come from the server's configuration are not among them: each server has its own.
    """

    role: str
    settings: Mapping[str, str]

    @property
    def customized(self) -> list[str]:
        """Those of the settings that Postgres does not know, or that an extension has defined."""
        return [name for name in self.settings if "." in name]


def read_start(connection: Any) -> Start:
    """The start of the session of a driver connection in autocommit, whatever has been changed in it since."""
    with text_cursor(connection) as cursor:
        cursor.execute("SELECT session_user::text")
        (role,) = cursor.fetchone()
    return Start(role, {**read_assigned(connection), **requested(connection.info.dsn_parameters)})


def read_assigned(connection: Any, role: str | None = None) -> dict[str, str]:
    """What ALTER ROLE and ALTER DATABASE … SET give to new sessions of a role in this connection's database.

    The role is by default the connection's own.
    """
    with text_cursor(connection) as cursor:
        cursor.execute(_ASSIGNED, {"role": role, "mode": set_role_privilege(connection)})
        settings: dict[str, str] = {}
        for (assignment,) in cursor.fetchall():
            name, _, value = assignment.partition("=")
            settings.setdefault(name.lower(), value)
    return settings


def set_role_privilege(connection: Any) -> str:
    """What ``pg_has_role()`` of this server calls the right to SET ROLE."""
    return "SET" if connection.server_version >= _SET_OPTION_VERSION else "MEMBER"


def requested(parameters: Mapping[str, str]) -> dict[str, str]:
    """The settings that a client requests by these parameters of libpq, and by its environment.

    The server reports the time zone, the style of dates and the client encoding to every client, so they are not here.
    """
    settings = _from_options(parameters.get("options") or "")
    geqo = geqo_from_environment()
    if geqo is not None:
        settings["geqo"] = geqo
    name = parameters.get("application_name") or parameters.get("fallback_application_name")
    if name:
        settings["application_name"] = name
    return settings


def _from_options(options: str) -> dict[str, str]:
    """The settings among the server's command-line options (Postgres manual, postgres, "Options")."""
    words = iter(re.sub(r"\\(.)", r"\1", word) for word in re.findall(r"(?:\\.|\S)+", options))
    settings = {}
    for word in words:
        switch, rest = word[:2], word[2:]
        if switch == "-c":
            name, _, value = (rest or next(words, "")).partition("=")
        elif switch == "--":
            name, _, value = rest.partition("=")
        elif switch in _LETTERS:
            name, value = _LETTERS[switch], rest or next(words, "")
        else:
            continue
        settings[name.replace("-", "_").lower()] = value
    return settings
