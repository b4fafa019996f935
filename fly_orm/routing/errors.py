"""Errors as callers of the driver expect them: the primary's with a hint, fly_orm's as the driver's own classes."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
import psycopg2
from psycopg2.errorcodes import CONNECTION_FAILURE
from psycopg2.errors import ConnectionFailure

from ..errors import FlyOrmError, NotSupported, TransactionLost
from ..postgres.subclasses import named_like
from ..protocol.messages import SQLError


def explain(described: SQLError) -> SQLError:
    """The same error, with a hint if only callers in a secondary region can get it."""
    if described.sqlstate != "55000" or "is not yet defined in this session" not in described.message:
        return described
    hint = f"HINT:  {_SEQUENCE_HINT}\n"
    return msgspec.structs.replace(
        described,
        message=described.message + hint,
        text=(described.text or "") + hint,
        diagnostics={**described.diagnostics, "message_hint": _SEQUENCE_HINT},
    )


_SEQUENCE_HINT = (
    "From a secondary region, currval() and lastval() see only what the same transaction has done. "
    "Use RETURNING, or run both statements in one transaction."
)


def session_lost(cause: FlyOrmError) -> TransactionLost:
    """The error for a statement that needs state of a Postgres session on the primary which is gone."""
    return TransactionLost(
        "the connection's Postgres session on the primary was lost, and with it its locks, temporary tables and "
        f"prepared statements; nothing was executed. The connection is closed: {cause}",
        node=getattr(cause, "node", None) or "",
    )


def transaction_lost(cause: BaseException) -> TransactionLost:
    """The error for a statement of a transaction that an error has lost before."""
    said = str(cause) if isinstance(cause, TransactionLost) else f"the transaction was lost: {cause}"
    return TransactionLost(said, node=getattr(cause, "node", None))


def as_driver_error(error: FlyOrmError, *orms: Any) -> FlyOrmError:
    """The same error as an instance of its own class and of the matching class of the driver and of each ORM.

    ``orms`` are modules with the DB-API's exception names.
    """
    name = "NotSupportedError" if isinstance(error, NotSupported) else "OperationalError"
    driver = ConnectionFailure if isinstance(error, TransactionLost) else getattr(psycopg2, name)
    made = _make(type(error), driver, tuple(getattr(orm, name) for orm in orms), str(error), error.__dict__)
    made.__cause__ = error.__cause__
    return made


def informative_cause(error: BaseException) -> BaseException | None:
    """The first cause of an error, direct or not, that says more than the error does; None if there is none.

    An error of fly_orm sums up those of fly_orm that led to it. Any other cause is left out if the error quotes it.
    """
    cause = error.__cause__
    while cause is not None and (isinstance(cause, FlyOrmError) or (str(cause) and str(cause) in str(error))):
        cause = cause.__cause__
    return cause


def _make(own: Any, driver: Any, others: tuple[Any, ...], text: str, facts: dict[str, Any]) -> FlyOrmError:
    error: Any = _driver_error_class(own, driver, others)(text)
    if driver is ConnectionFailure:
        error.__setstate__({"pgcode": CONNECTION_FAILURE})
    error.__dict__.update(facts)
    made: FlyOrmError = error
    return made


@cache
def _driver_error_class(own: Any, driver: Any, others: tuple[Any, ...]) -> type[FlyOrmError]:
    def reduce(error: FlyOrmError) -> tuple[Any, ...]:
        return _make, (own, driver, others, str(error), error.__dict__)

    # fly_orm's class comes first, so that peewee does not translate the error.
    made: type[FlyOrmError] = named_like(own, own, driver, *others, __reduce__=reduce)
    return made
