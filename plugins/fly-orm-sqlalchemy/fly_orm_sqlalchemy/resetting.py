"""Undoes what execution options have changed of a connection that goes back to the pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg2
from sqlalchemy.engine import Dialect
from sqlalchemy.engine.characteristics import ConnectionCharacteristic

_NAMES = ("isolation_level", "postgresql_readonly", "postgresql_deferrable")

if TYPE_CHECKING:
    _Base = ConnectionCharacteristic
else:
    _Base = object


class _Resetting(_Base):
    """Goes in front of a characteristic of SQLAlchemy's. A connection that cannot be reset is closed.

    The pool replaces it when it next lends it. If this raised, the pool would lose a place for good.
    """

    __slots__ = ()

    def reset_characteristic(self, dialect: Dialect, dbapi_conn: Any) -> None:
        try:
            super().reset_characteristic(dialect, dbapi_conn)  # type: ignore[safe-super]  # SQLAlchemy's own
        except psycopg2.Error:
            dbapi_conn.close()


def install(dialect: Any) -> None:
    """Let the dialect of an engine close what it cannot reset."""
    known = dialect.connection_characteristics
    dialect.connection_characteristics = known.union({name: _in_front_of(type(known[name])) for name in _NAMES})


def _in_front_of(cls: type[ConnectionCharacteristic]) -> ConnectionCharacteristic:
    resetting: ConnectionCharacteristic = type(cls.__name__, (_Resetting, cls), {"__slots__": ()})()
    return resetting
