"""What the commands that begin and end transactions, and savepoints, do with one on the primary."""

from __future__ import annotations

from ..classify import Statement
from .decide import Action
from .forwarded import Forwarded
from .remote_connection import RemoteConnection


def control(remote: RemoteConnection, action: Action, sql: bytes, statement: Statement, why: str) -> Forwarded:
    """Do with the transaction what was decided: BEGIN, DELAY, COMMIT or ROLLBACK."""
    match action:
        case Action.BEGIN:
            return remote.begin(sql, statement.command_tag, isolation=statement.isolation)
        case Action.DELAY:
            return remote.delay(statement, sql, why)
        case Action.COMMIT:
            return remote.commit(sql, statement)
        case _:
            return remote.rollback(sql, statement)
