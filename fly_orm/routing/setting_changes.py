"""Gives the Postgres session on the primary, if one is held, what was changed in the one on the replica."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import psycopg2
from psycopg2 import extensions as ext

from ..classify import Kind, Statement
from ..local.starting import ISOLATION
from .remote_connection import RemoteConnection
from .session_following import ask_here

_DEFAULT = "DEFAULT"
#: Values that every server accepts.
_CERTAIN = frozenset({_DEFAULT, "off"})
_IN_TRANSACTION = (ext.TRANSACTION_STATUS_INTRANS, ext.TRANSACTION_STATUS_INERROR)


def change_setting(connection: Any, sql: bytes, statement: Statement, why: str) -> None:
    """Give the Postgres session on the primary, if it has state, what was changed on the replica."""
    remote: RemoteConnection = connection.remote
    if statement.resets_all:
        remote.session_settings.fit_replica(connection)
    if statement.discards_all:
        remote.session_settings.forget()
        remote.end()
    elif remote.has_state and (statement.resets_all or not statement.name):
        remote.forward([sql], statement, why)
    elif remote.has_state:
        ask_here(connection)
        names = sorted(statement.session_changes.settings)
        reset = ",".join(name for name in names if name not in remote.session_settings.names)
        resetting = replace(statement, name=reset or None, resets=bool(reset))
        remote.forward(remote.session_settings.statements(connection, names), resetting, why)


def changed_here(connection: Any, name: str, value: str) -> bool:
    """Change the default of a transaction mode without the primary; False if the primary has to take part.

    Pools do so when they take a connection back, also while no node can be reached. The next Postgres session on the
    primary gets what is known of this one.
    """
    settings, new = connection.remote.session_settings, None if value == _DEFAULT else value
    if value not in _CERTAIN or not _is_idle(connection) or settings.may_differ(name):
        return False
    if settings.changed(name) == new:
        return True
    if connection.pooled:  # another server's session may have to answer for it
        return False
    try:
        with ext.cursor(connection) as cursor:
            cursor.execute(f"SET {name} TO {value}")
        if name == ISOLATION:
            settings.fit_replica(connection)
    except psycopg2.Error:  # the replica cannot be reached
        return False
    settings.take({name: new})
    return True


def _is_idle(connection: Any) -> bool:
    """Whether the connection is in no transaction, and has nothing on the primary."""
    in_transaction = connection.get_transaction_status() in _IN_TRANSACTION
    return bool(connection.remote.is_free) and not (in_transaction or connection.promoted)


def take_encoding(connection: Any) -> None:
    """Give the Postgres session on the primary, if there is one, the connection's client encoding."""
    remote: RemoteConnection = connection.remote
    if remote.has_lease:
        sql = f"SET client_encoding TO '{connection.get_parameter_status('client_encoding')}'"
        remote.forward([sql.encode()], Statement(kind=Kind.READ, why="the client encoding"), "the client encoding")
