"""The execution option ``fly_orm_immediate``: transactions that begin on the primary with their first statement.

Other transactions read on the replica until their first write (docs/sqlalchemy.md).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine
from sqlalchemy.engine import Dialect
from sqlalchemy.engine.characteristics import ConnectionCharacteristic
from sqlalchemy.exc import ArgumentError

from fly_orm.adapters.base import RoutingConnection

OPTION = "fly_orm_immediate"


class Immediate(ConnectionCharacteristic):
    """Sets the option for a connection, or for each one of an engine. The pool switches it off again."""

    __slots__ = ()
    #: What has been read cannot be read again on the primary, so it is not changed in the middle of a transaction.
    transactional = True

    def set_characteristic(self, dialect: Dialect, dbapi_conn: Any, value: Any) -> None:
        if not isinstance(value, bool):
            raise ArgumentError(f"{OPTION} is True or False, not {value!r:.100}")
        if isinstance(dbapi_conn, RoutingConnection):
            dbapi_conn.defers_transactions = not value

    def reset_characteristic(self, dialect: Dialect, dbapi_conn: Any) -> None:
        self.set_characteristic(dialect, dbapi_conn, False)

    def get_characteristic(self, dialect: Dialect, dbapi_conn: Any) -> bool:
        return isinstance(dbapi_conn, RoutingConnection) and not dbapi_conn.defers_transactions


def install(engine: Engine) -> None:
    """Let the engine's dialect know the option, and use it if the engine was created with it."""
    dialect: Any = engine.dialect
    dialect.connection_characteristics = dialect.connection_characteristics.union({OPTION: Immediate()})
    given = engine.get_execution_options()
    if OPTION in given:
        dialect.set_engine_execution_options(engine, {OPTION: given[OPTION]})
