"""COPY between a file of the caller's and the primary."""

from __future__ import annotations

import io
import operator
from collections.abc import Iterable
from typing import Any

import psycopg2
from psycopg2 import extensions as ext

from ..errors import NotSupported
from ..routing.decide import Action
from ..routing.notices import Apart
from ..routing.replica_errors import tried_to_write
from ..routing.session_following import follow_here
from ..routing.unsupported import COPIED_LOCKS
from . import observed
from .copy_source import CopySource
from .copy_target import CopyTarget


def check_file(file: Any) -> None:
    """Raise the TypeError of psycopg2's ``copy_expert`` for what is not a file."""
    if not (hasattr(file, "read") or hasattr(file, "write")):
        raise TypeError(
            "file must be a readable file-like object for COPY FROM; a writable file-like object for COPY TO."
        )


def check_source(file: Any) -> None:
    """Raise the TypeError of psycopg2's ``copy_from`` for what cannot be read."""
    if not hasattr(file, "read"):
        raise TypeError("argument 1 must have a .read() method")


def check_target(file: Any) -> None:
    """Raise the TypeError of psycopg2's ``copy_to`` for what cannot be written."""
    if not hasattr(file, "write"):
        raise TypeError("argument 1 must have a .write() method")


class _TrackedFile:
    """A file that knows whether it was written to."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.written = False

    def write(self, data: Any) -> Any:
        self.written = True
        return self._file.write(data)


class _TrackedText(_TrackedFile, io.TextIOBase):
    """A text file: psycopg2 looks for the base class."""


def tracked(file: Any) -> _TrackedFile:
    """The file, wrapped for psycopg2 to write to."""
    return (_TrackedText if isinstance(file, io.TextIOBase) else _TrackedFile)(file)


def statement(direction: str, table: str, sep: str, null: str, columns: Iterable[str] | None, cursor: Any) -> str:
    """The statement that ``copy_from`` or ``copy_to`` sends."""
    names = "" if columns is None else "(" + ",".join(ext.quote_ident(name, cursor) for name in columns) + ")"
    delimiter, nothing = (cursor.mogrify("%s", (value,)).decode() for value in (sep, null))
    target = f"{ext.quote_ident(table, cursor)} {names}"
    return f"COPY {target} {direction} WITH DELIMITER AS {delimiter} NULL AS {nothing}"


def copy(cursor: Any, sql: Any, file: Any, size: int) -> None:
    """Execute a COPY on the replica or on the primary, between its data and a file of the caller's."""
    size = operator.index(size)  # raises what psycopg2 raises, before a transaction begins
    if cursor.name is None and cursor.connection.statement(sql, cursor).copy is None:
        cursor._execute_one(sql, None)  # as psycopg2 does, which has no need of the file then
        return
    with observed.block(cursor, sql):
        _copy(cursor, sql, file, size)


def _copy(cursor: Any, sql: Any, file: Any, size: int) -> None:
    statement, decision = cursor._decide(sql)
    why, out, wrote, waited = decision.why, statement.copy == "out", False, decision.waited
    if decision.action is Action.READ_HERE and out:
        here = tracked(file)
        with Apart(cursor.connection) as notices:
            try:
                cursor.run_here(decision, "copy_expert", sql, here, size)
            except psycopg2.Error as error:
                if here.written:
                    cursor.connection.note_failed_read(error)
                    raise  # a second copy would follow what the file has got already
                why, wrote = cursor.connection.why_ask_primary(error, statement), tried_to_write(error)
            else:
                if not follow_here(cursor.connection, statement.changes):
                    raise cursor.connection.router.driver_error(NotSupported(COPIED_LOCKS))
                return
            notices.repeated = True
    elif decision.action is not Action.FORWARD or statement.copy is None:
        cursor._run_settling(statement, decision, "copy_expert", sql, file, size)
        return
    bound = cursor._bind(sql, None)
    if not out:
        source = CopySource(file, size, cursor.connection)
        cursor._show(cursor._forward([bound], statement, why, copy=source, wrote=wrote, waited=waited), bound)
        return
    target = CopyTarget(file, cursor.connection)
    result = cursor._forward([bound], statement, why, copy=target, wrote=wrote, waited=waited)
    cursor._show(result, bound)
    target.finish(result)
