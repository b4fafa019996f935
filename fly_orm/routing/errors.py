"""Errors as a driver's caller expects them: the primary's rebuilt, and fly_orm's made catchable as the driver's own."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
import psycopg2
import psycopg2.errors

from ..errors import FlyOrmError, NotSupported
from ..messages import SQLError
from ..sqlerror import DIAGNOSTICS, DRIVER_CLASSES

_BY_NAME: dict[str, type[psycopg2.Error]] = {cls.__name__: cls for cls in DRIVER_CLASSES}


class Diagnostics:
    """The fields of ``psycopg2.extensions.Diagnostics``, as the primary's server filled them."""

    def __init__(self, fields: dict[str, str]) -> None:
        for name in DIAGNOSTICS:
            setattr(self, name, fields.get(name))


class _Disguise(type(psycopg2.Error)):  # type: ignore[misc]  # the metaclass of a C class
    """Makes a subclass of a psycopg2 error class look like that class by name and bases.

    psycopg2's ``diag`` cannot be set from Python, so an error that carries one has to be of a subclass; and peewee
    translates errors by the name of their class, or of its first base.
    """

    @property
    def __bases__(cls) -> tuple[type, ...]:
        looks_like: type = cls.__mro__[2]  # after FromPrimary
        return looks_like.__bases__


class FromPrimary:
    """Of errors that the primary raised: what psycopg2 does not let Python set."""

    described: SQLError
    diag: Any = None
    cursor: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuild, (self.described,)


@cache
def _remote_class(cls: Any) -> type[psycopg2.Error]:
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    made: type[psycopg2.Error] = _Disguise(cls.__name__, (FromPrimary, cls), names)
    return made


def rebuild(described: SQLError) -> psycopg2.Error:
    """The error that the primary's driver raised: same class, SQLSTATE, text and diagnostics."""
    error: Any = _remote_class(_class(described))(described.message)
    error.__setstate__({"pgcode": described.sqlstate, "pgerror": described.text})
    error.diag = Diagnostics(described.diagnostics)
    error.described = described
    return error  # type: ignore[no-any-return]


def explain(described: SQLError) -> SQLError:
    """The same error, with a hint if it is one that only a caller in a secondary region can get."""
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
    "From a secondary region, currval() and lastval() see what the same transaction has done; "
    "use RETURNING, or do both in one transaction."
)


def _class(described: SQLError) -> Any:
    if described.sqlstate is not None:
        try:
            return psycopg2.errors.lookup(described.sqlstate)
        except KeyError:
            pass  # a SQLSTATE that this driver has no class for
    return _BY_NAME[described.driver_class]


def as_driver_error(error: FlyOrmError, orm: Any = None) -> FlyOrmError:
    """The same error as an instance of its class and of the driver's (and the ORM's) class of that kind.

    ``orm`` is a module with the DB-API's exception names, or None.
    """
    driver = "NotSupportedError" if isinstance(error, NotSupported) else "OperationalError"
    own: Any = type(error)
    made = _driver_error_class(own, getattr(psycopg2, driver), getattr(orm, driver, None))(str(error))
    made.__dict__.update(error.__dict__)
    made.__cause__ = error.__cause__
    return made


@cache
def _driver_error_class(own: Any, driver: Any, orm: Any) -> type[FlyOrmError]:
    def reduce(error: FlyOrmError) -> tuple[Any, ...]:
        return _rebuild_own, (own, driver, orm, str(error), error.__dict__)

    # fly_orm's class comes first: peewee then lets the error pass as it is.
    bases = (own, driver) if orm is None else (own, driver, orm)
    names = {"__module__": own.__module__, "__doc__": own.__doc__, "__reduce__": reduce}
    made: type[FlyOrmError] = type(own.__name__, bases, names)
    return made


def _rebuild_own(own: Any, driver: Any, orm: Any, text: str, facts: dict[str, Any]) -> Any:
    error = _driver_error_class(own, driver, orm)(text)
    error.__dict__.update(facts)
    return error
