"""A driver's error as a value that travels: what the executing node makes of it."""

from __future__ import annotations

import psycopg2

from .messages import SQLError

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


def describe(error: psycopg2.Error) -> SQLError:
    """All that the driver and its server said about an error."""
    fields = {name: getattr(error.diag, name) for name in DIAGNOSTICS}
    return SQLError(
        driver_class=next(cls.__name__ for cls in DRIVER_CLASSES if isinstance(error, cls)),
        message=str(error),
        sqlstate=error.pgcode,
        text=error.pgerror,
        diagnostics={name: value for name, value in fields.items() if value is not None},
    )
