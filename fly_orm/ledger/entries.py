"""The rows of the ledger: what is written with a request, and what tells what became of it.

A request has a row under its own id, and an operation with a key of the application's one under that key. A row that is
*voided* stands in the way of a request whose caller was told that it did not happen.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg2

from ..errors import Refused
from ..postgres.cursors import text_cursor
from ..protocol import reasons
from ..protocol.messages import Record
from .table import TABLE

#: The longest encoded reply that is stored. Without it, what became of the request is known, but not its result.
MOST_STORED_BYTES = 1024 * 1024

_HEX = "pg_catalog.encode(result, 'hex')"
_ASSIGNED = "pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL"
# Each statement has to see what others have committed meanwhile, and what is answered must survive a crash.
_BEGIN = (
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_catalog.set_config('synchronous_commit', 'on', true)"
    " WHERE pg_catalog.current_setting('synchronous_commit') = 'off'; "
)
_ANSWER = f"""SELECT own.voided::text, pg_catalog.encode(coalesce(own.result, operation.result), 'hex')
    FROM {TABLE} own LEFT JOIN {TABLE} operation ON operation.key = own.operation
    WHERE own.key = %s"""  # noqa: S608  # a constant


class Entry(NamedTuple):
    """What the ledger says of a request or an operation."""

    executed: bool
    """Whether it has committed. If not, it never will."""
    reply: bytes | None = None
    """The encoded reply; None if it was not stored, or another role has written it."""


def claim(record: Record) -> bytes:
    """The SQL that takes an operation's key. It waits for another transaction that has taken it, if one is open."""
    session = "NULL" if record.session is None else _text(record.session)
    values = f"{_text(record.operation)}, {_text(record.what)}, {_text(record.asked)}, {session}"
    return f"INSERT INTO {TABLE} (key, what, asked, session) VALUES ({values})".encode()  # noqa: S608


def note(record: Record, reply: bytes | None = None, *, wrote: bool = False) -> bytes:
    """The SQL that records a request with its reply.

    ``wrote`` says that the transaction has written something. If that is not known, the row is written only if so.
    """
    result = "NULL" if reply is None or len(reply) > MOST_STORED_BYTES else _bytes(reply)
    key = _text(record.id)
    if record.operation:
        operation = _text(record.operation)
        keep = "" if result == "NULL" else f"UPDATE {TABLE} SET result = {result} WHERE key = {operation}; "  # noqa: S608
        return f"{keep}INSERT INTO {TABLE} (key, operation) VALUES ({key}, {operation})".encode()  # noqa: S608
    condition = "" if wrote else f" WHERE {_ASSIGNED}"
    return f"INSERT INTO {TABLE} (key, result) SELECT {key}, {result}{condition}".encode()


def of_operation(connection: Any, record: Record) -> Entry:
    """What became of an operation whose key is taken. Refused if the key is that of another operation, or role."""
    with text_cursor(connection) as cursor:
        # The policies do not hide the rows of other roles from the table's owner, nor from a superuser.
        cursor.execute(
            f"SELECT what, asked, session, {_HEX} FROM {TABLE}"  # noqa: S608
            f" WHERE key = {_text(record.operation)} AND role = current_user"
        )
        row = cursor.fetchone()
    if (other := _other_use(record, row)) is not None:
        raise Refused(
            f"the operation key {record.operation!r} was used for {other}: repeat that unchanged, or choose another "
            "key. Nothing was executed",
            reason=reasons.OTHER_OPERATION,
        )
    return Entry(True, _decoded(row[-1]))


def _other_use(record: Record, row: tuple[str | None, ...] | None) -> str | None:
    """What an operation's key was used for, if not for this very operation."""
    if row is None:  # nothing says that what another role has done is this operation
        return f"something that another role has done, and not for {record.what}"
    what, asked, session, _ = row
    if what != record.what:
        return f"{what}, and not for {record.what}"
    if asked != record.asked:
        return f"{what} with another text, or with other parameters or arguments"
    if None not in (session, record.session) and session != record.session:
        return f"{what} in a session with other customized settings or another search_path, such as another tenant's"
    return None


def settle(connection: Any, id: str) -> Entry:  # noqa: A002
    """What became of a request, which can commit nothing from now on. On a connection in autocommit."""
    try:
        with text_cursor(connection) as cursor:
            cursor.execute(
                f"{_BEGIN}INSERT INTO {TABLE} (key, voided) VALUES (%s, true) ON CONFLICT DO NOTHING",  # noqa: S608
                (id,),
            )
            if cursor.rowcount == 1:
                voided, reply = "true", None
            else:
                cursor.execute(_ANSWER, (id,))
                # A row that exists and cannot be seen is another role's: the request has changed its role.
                voided, reply = cursor.fetchone() or ("false", None)
            cursor.execute("COMMIT")
    except psycopg2.Error:
        if not connection.closed:
            with connection.cursor() as cursor:
                cursor.execute("ROLLBACK")
        raise
    return Entry(voided != "true", _decoded(reply))


def _decoded(value: str | None) -> bytes | None:
    return None if value is None else bytes.fromhex(value)


def _text(value: str) -> str:
    """A literal in ASCII, whatever the client encoding."""
    if value.isascii() and value.isprintable() and "'" not in value and "\\" not in value:
        return f"'{value}'"
    return f"pg_catalog.convert_from({_bytes(value.encode())}, 'UTF8')"


def _bytes(value: bytes) -> str:
    return f"E'\\\\x{value.hex()}'::bytea"
