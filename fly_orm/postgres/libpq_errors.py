"""The errors that libpq's functions report, as the driver would raise them."""

from __future__ import annotations

from typing import Any

import psycopg2
from psycopg2 import _psycopg
from psycopg2 import extensions as ext

from ..protocol.messages import SQLError
from .libpq_results import LibpqResults
from .sql_error import DIAGNOSTICS, DRIVER_CLASSES, rebuild

#: libpq's code of each field of an error (postgres_ext.h); Postgres manual, "Error and Notice Message Fields".
_CODES = {
    "severity": "S",
    "severity_nonlocalized": "V",
    "sqlstate": "C",
    "message_primary": "M",
    "message_detail": "D",
    "message_hint": "H",
    "statement_position": "P",
    "internal_position": "p",
    "internal_query": "q",
    "context": "W",
    "schema_name": "s",
    "table_name": "t",
    "column_name": "c",
    "datatype_name": "d",
    "constraint_name": "n",
    "source_file": "F",
    "source_line": "L",
    "source_function": "R",
}
_FIELDS = [(name, ord(_CODES[name])) for name in DIAGNOSTICS]
#: The first characters of SQLSTATEs for which psycopg2 does not look at the second.
_WHOLE = "5FHPX"
#: What psycopg2 leaves out at the beginning of a message.
_SEVERITIES = ("ERROR:  ", "FATAL:  ", "PANIC:  ")


def error_of(libpq: LibpqResults, result: int, connection: Any) -> psycopg2.Error:
    """The error that a result is, as psycopg2 raises it (``pq_raise()`` in pqpath.c)."""
    encoding = ext.encodings[connection.encoding]
    found = {name: libpq.PQresultErrorField(result, code) for name, code in _FIELDS}
    fields = {name: value.decode(encoding, "replace") for name, value in found.items() if value is not None}
    return _made(libpq.PQresultErrorMessage(result).decode(encoding, "replace"), fields)


def failure(libpq: LibpqResults, connection: Any) -> psycopg2.Error:
    """The error if nothing could be sent."""
    text = libpq.PQerrorMessage(connection.pgconn_ptr).decode(ext.encodings[connection.encoding], "replace")
    return _made(text, {})


def _made(text: str, fields: dict[str, str]) -> psycopg2.Error:
    sqlstate = fields.get("sqlstate")
    message = text[8:] if text.startswith(_SEVERITIES) else text
    return rebuild(
        SQLError(
            driver_class=_base(sqlstate).__name__,
            message=message,
            sqlstate=sqlstate,
            text=text,
            diagnostics=fields,
        )
    )


def _base(sqlstate: str | None) -> type[psycopg2.Error]:
    """The DB-API class of an SQLSTATE: that of the others of its class, which its first characters tell."""
    if sqlstate is None:
        return psycopg2.OperationalError
    prefix = sqlstate[:1] if sqlstate[0] in _WHOLE else sqlstate[:2]
    for known, cls in _psycopg.sqlstate_errors.items():
        if known.startswith(prefix):
            return next(base for base in DRIVER_CLASSES if issubclass(cls, base))
    return psycopg2.DatabaseError
