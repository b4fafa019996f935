"""COPY between a file of the caller's and the primary."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from psycopg2 import extensions as ext


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
