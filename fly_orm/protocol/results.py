"""What statements return, as messages carry it."""

from __future__ import annotations

import msgspec

#: The values of some rows, column by column, in Postgres' text format and the caller's client encoding.
Values = list[list[bytes | None]]


class Column(msgspec.Struct, frozen=True, array_like=True):
    """One column of a result: the attributes of ``psycopg2.extensions.Column``."""

    name: str
    type_code: int
    internal_size: int | None
    precision: int | None
    scale: int | None
    table_oid: int | None
    table_column: int | None


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of a statement, from which the caller's driver makes rows with its own typecasters."""

    columns: list[Column] | None = None
    """None for a statement that returns no rows."""
    data: Values = []
    rows: int = 0
    """The number of rows. ``data`` does not tell it where a SELECT has no columns."""
    rows_before: int = 0
    """How many rows of the result came before, in the last pieces. Those before them were other statements'."""
    row_count: int = -1
    """The cursor's ``rowcount``; of several statements, the sum, or -1 if the count of any is not known."""
    status_message: str | None = None
    last_row_id: int = 0
    copied: bytes | None = None
    """The output of COPY … TO STDOUT, without what was sent in pieces before."""
    copied_sizes: list[int] = []
    """The sizes in which the server has sent the output, without those mentioned before; a row each, unless the format
    is binary."""


class SQLError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error that the driver raised on the node, with everything that its server reported."""

    driver_class: str
    """The name of the DB-API class, which is needed for errors without a SQLSTATE."""
    message: str
    sqlstate: str | None = None
    text: str | None = None
    """psycopg2's ``pgerror``."""
    diagnostics: dict[str, str] = {}
    """Those fields of psycopg2's ``diag`` that are set."""


class SessionReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a Postgres session holds after a request."""

    settings: dict[str, bytes | None] = {}
    """Session settings, in the encoding of the database; None for one that the session has not changed."""
    has_state: bool = False
    """Whether it has locks, temporary objects or the like, so that the lease stays open."""


class OpenTransaction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A transaction that has written something, by which anybody can ask later what became of it."""

    id: int
    """What Postgres' ``pg_current_xact_id()`` returns."""
    run: str
    """Identifies the time in which the server gives this id to no other transaction."""
    commit_waits: bool = True
    """Whether its COMMIT waits for a synchronous standby."""
