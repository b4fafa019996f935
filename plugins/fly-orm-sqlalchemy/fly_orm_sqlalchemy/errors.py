"""fly_orm's errors as callers of SQLAlchemy expect them."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

from sqlalchemy import Connection
from sqlalchemy.engine import ExceptionContext

from fly_orm import errors
from fly_orm.adapters.base import RoutingConnection, in_function
from fly_orm.errors import FlyOrmError


def handle_error(context: ExceptionContext) -> BaseException | None:
    """Keep the pool, and raise SQLAlchemy's error as an instance of fly_orm's class too, if it wraps one of fly_orm's.

    SQLAlchemy compares the text of an error to find out whether the connection was lost, and "the peer closed the
    connection" is about the other region: the connections to the replica are as good as before.
    """
    error, raised = cast(Any, context.original_exception), cast(Any, context.sqlalchemy_exception)
    if raised is not None and raised.statement is not None and in_function():
        raised.statement = str(raised.statement)  # SQLAlchemy's is of a class that does not travel to the caller
    if not isinstance(error, FlyOrmError) or context.is_pre_ping:
        return None
    context.invalidate_pool_on_disconnect = False
    context.is_disconnect = _is_over(context.connection)
    if raised is None:
        return None
    raised.connection_invalidated = context.is_disconnect
    made: BaseException = _make(
        _own_class(type(error)), type(raised), raised.args, {**error.__dict__, **raised.__dict__}
    )
    return made


def _is_over(connection: Connection | None) -> bool:
    """Whether a connection cannot be used any more.

    In a savepoint, that is so if its transaction is lost: ROLLBACK TO fails then, and a Session that cannot end its
    savepoints does not give back what SQLAlchemy takes for a connection in use.
    """
    if connection is None or connection.closed or connection.invalidated:
        return False
    driver: Any = connection.connection.dbapi_connection
    return bool(driver.closed) or (connection.in_nested_transaction() and _has_lost_transaction(driver))


def _has_lost_transaction(driver: Any) -> bool:
    transaction = driver.remote.transaction if isinstance(driver, RoutingConnection) else None
    return transaction is not None and transaction.lost is not None


def _own_class(cls: Any) -> Any:
    """The class of fly_orm's that an error is an instance of; the driver's class may be a base as well."""
    return next(base for base in cls.__mro__ if getattr(errors, base.__name__, None) is base)


def _make(own: type, raised: type, args: tuple[Any, ...], facts: dict[str, Any]) -> Any:
    cls = _class(own, raised)
    error: Any = cls.__new__(cls)
    error.args = args
    error.__dict__.update(facts)
    return error


@cache
def _class(own: type, raised: type) -> Any:
    def reduce(error: Any) -> tuple[Any, ...]:
        return _make, (own, raised, error.args, error.__dict__)

    attributes = {"__module__": raised.__module__, "__qualname__": raised.__qualname__, "__doc__": raised.__doc__}
    return type(raised.__name__, (raised, own), {**attributes, "__reduce__": reduce})
