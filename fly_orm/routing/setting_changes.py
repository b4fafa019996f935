"""Gives the Postgres session on the primary, if one is held, what was changed in the one on the replica."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..classify import Kind, Statement
from .remote_connection import RemoteConnection
from .session_following import ask_here


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


def take_encoding(connection: Any) -> None:
    """Give the Postgres session on the primary, if there is one, the connection's client encoding."""
    remote: RemoteConnection = connection.remote
    if remote.has_lease:
        sql = f"SET client_encoding TO '{connection.get_parameter_status('client_encoding')}'"
        remote.forward([sql.encode()], Statement(kind=Kind.READ, why="the client encoding"), "the client encoding")
