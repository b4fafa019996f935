"""The driver's errors as values that can travel: described on the node that executes, rebuilt on the caller's."""

from __future__ import annotations

from functools import cache
from typing import Any

import psycopg2
import psycopg2.errors
from psycopg2.errorcodes import QUERY_CANCELED

from ..protocol.messages import SQLError
from .subclasses import named_like

#: The DB-API classes (PEP 249), the most specific first.
DRIVER_CLASSES = (
    psycopg2.DataError,
    psycopg2.OperationalError,
    psycopg2.IntegrityError,
    psycopg2.InternalError,
    psycopg2.ProgrammingError,
    psycopg2.NotSupportedError,
    psycopg2.DatabaseError,
    psycopg2.InterfaceError,
    psycopg2.Error,
)

_BY_NAME: dict[str, type[psycopg2.Error]] = {cls.__name__: cls for cls in DRIVER_CLASSES}

#: The most characters of each text of an error that travel. What a function raises may be as long as any value.
MOST_CHARS = 64 * 1024

#: The fields of ``psycopg2.extensions.Diagnostics``.
DIAGNOSTICS = (
    "column_name",
    "constraint_name",
    "context",
    "datatype_name",
    "internal_position",
    "internal_query",
    "message_detail",
    "message_hint",
    "message_primary",
    "schema_name",
    "severity",
    "severity_nonlocalized",
    "source_file",
    "source_function",
    "source_line",
    "sqlstate",
    "statement_position",
    "table_name",
)


def query_cancelled(message: str) -> psycopg2.Error:
    """The error that Postgres would report for a cancelled statement."""
    error: Any = psycopg2.errors.QueryCanceled(message)
    error.__setstate__({"pgcode": QUERY_CANCELED, "pgerror": message})
    made: psycopg2.Error = error
    return made


def is_end_of_session(error: psycopg2.Error) -> bool:
    """Whether an error that broke a connection certainly came of the end of the Postgres session.

    If the network has broken, or libpq does not speak English, the session may go on for all that is known.
    """
    return (error.pgcode or "").startswith("57P") or "server closed the connection" in str(error)


def describe(error: psycopg2.Error) -> SQLError:
    """Everything that the driver and the server reported about an error, but only the beginning of long texts."""
    fields = {name: shortened(getattr(error.diag, name)) for name in DIAGNOSTICS}
    return SQLError(
        driver_class=next(cls.__name__ for cls in DRIVER_CLASSES if isinstance(error, cls)),
        message=shortened(str(error)) or "",
        sqlstate=error.pgcode,
        text=shortened(error.pgerror),
        diagnostics={name: value for name, value in fields.items() if value is not None},
    )


def shortened(text: str | None) -> str | None:
    """The text as it travels: only its beginning, if it is long."""
    if text is None or len(text) <= MOST_CHARS:
        return text
    return f"{text[:MOST_CHARS]}… (the first {MOST_CHARS} of {len(text)} characters)"


def made_error(sqlstate: str, message: str, hint: str | None = None) -> psycopg2.Error:
    """The error that the driver would raise if the server had reported this."""
    text = f"{message}\n" if hint is None else f"{message}\nHINT:  {hint}\n"
    cls = psycopg2.errors.lookup(sqlstate)
    fields = {
        "severity": "ERROR",
        "severity_nonlocalized": "ERROR",
        "sqlstate": sqlstate,
        "message_primary": message,
        "message_hint": hint,
    }
    described = SQLError(
        driver_class=next(known.__name__ for known in DRIVER_CLASSES if issubclass(cls, known)),
        message=text,
        sqlstate=sqlstate,
        text=f"ERROR:  {text}",
        diagnostics={name: value for name, value in fields.items() if value is not None},
    )
    return rebuild(described, cls)


class Diagnostics:
    """Stands in for ``psycopg2.extensions.Diagnostics``, with what the primary reported."""

    def __init__(self, fields: dict[str, str]) -> None:
        for name in DIAGNOSTICS:
            setattr(self, name, fields.get(name))


class _Disguise(type(psycopg2.Error)):  # type: ignore[misc]  # the metaclass of a C class
    """Makes a subclass of a psycopg2 error class look like that class, by its name and its bases.

    Python code cannot set psycopg2's ``diag``, so an error that carries one must be of a subclass. But peewee
    translates errors by the name of their class, or of its first base.
    """

    @property
    def __bases__(cls) -> tuple[type, ...]:
        return looks_like(cls).__bases__


class FromPrimary:
    """The attributes of an error from the primary that psycopg2 does not let Python code set."""

    described: SQLError
    diag: Any = None
    cursor: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuild, (self.described, looks_like(type(self)))


def looks_like(cls: type) -> type:
    """The psycopg2 class that a class made from :class:`FromPrimary` stands for; any other class unchanged."""
    return cls.__mro__[2] if issubclass(cls, FromPrimary) else cls


@cache
def _remote_class(cls: Any) -> type[psycopg2.Error]:
    made: type[psycopg2.Error] = named_like(cls, FromPrimary, cls, metaclass=_Disguise)
    return made


def rebuild(described: SQLError, cls: type | None = None) -> psycopg2.Error:
    """The error that the driver raised on the executing node, with its SQLSTATE, text and diagnostics.

    cls: the class of the error, if it is known; by default, psycopg2's class for the SQLSTATE.
    """
    made = _remote_class(cls or _class(described))
    error: Any = psycopg2.Error.__new__(made, described.message)  # a subclass may have an __init__ of its own
    # These attributes are read-only, but psycopg2 restores them like this when it unpickles an error.
    error.__setstate__({"pgcode": described.sqlstate, "pgerror": described.text})
    error.diag = Diagnostics(described.diagnostics)
    error.described = described
    return error  # type: ignore[no-any-return]


def _class(described: SQLError) -> Any:
    if described.sqlstate is not None:
        try:
            return psycopg2.errors.lookup(described.sqlstate)
        except KeyError:
            pass  # this driver has no class for the SQLSTATE
    return _BY_NAME[described.driver_class]
