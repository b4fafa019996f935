"""COPY between a file of the caller's and the primary."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from psycopg2 import extensions as ext

from ..errors import NotSupported
from ..protocol.messages import BrokenInput
from ..transport import MAX_MESSAGE_BYTES


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


def read(file: Any, size: int, connection: Any) -> bytes | BrokenInput:
    """All that the file returns until it returns nothing, in the client encoding.

    BrokenInput if it cannot be read to its end: then COPY has to fail on the primary, as it does for psycopg2.
    NotSupported if it is too long for a request.
    """
    pieces: list[bytes] = []
    length, read_next = 0, file.read
    try:
        for piece in _pieces(read_next, size, ext.encodings[connection.encoding]):
            if not isinstance(piece, bytes):
                return BrokenInput(data=b"".join(pieces))
            pieces.append(piece)
            length += len(piece)
            if not piece or length > MAX_MESSAGE_BYTES:
                break
    except Exception as error:  # noqa: BLE001  # the server is told of it, and then the caller
        return BrokenInput(data=b"".join(pieces), error_class=type(error).__name__, error=str(error))
    if length > MAX_MESSAGE_BYTES:
        raise connection.router.driver_error(NotSupported(_TOO_LONG))
    return b"".join(pieces)


_TOO_LONG = (
    f"the input of COPY is longer than {MAX_MESSAGE_BYTES // 2**20} MiB, the most that one request to another region "
    "can carry. Nothing was sent. Copy it in several parts, in one transaction if they belong together, or run the "
    "COPY in an @on_primary function"
)


def _pieces(read_next: Any, size: int, encoding: str) -> Iterator[Any]:
    while True:
        piece = read_next(size)
        yield piece.encode(encoding) if isinstance(piece, str) else piece


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


def write(file: Any, data: bytes, sizes: Sequence[int], connection: Any) -> None:
    """Write the copied data in pieces of these sizes, as text if the file is a text file."""
    encoding = ext.encodings[connection.encoding] if isinstance(file, io.TextIOBase) else None
    end = 0
    for size in sizes or filter(None, [len(data)]):  # an older node does not tell the sizes
        piece, end = data[end : end + size], end + size
        file.write(piece if encoding is None else piece.decode(encoding))


def statement(direction: str, table: str, sep: str, null: str, columns: Iterable[str] | None, cursor: Any) -> str:
    """The statement that ``copy_from`` or ``copy_to`` sends."""
    names = "" if columns is None else "(" + ",".join(ext.quote_ident(name, cursor) for name in columns) + ")"
    delimiter, nothing = (cursor.mogrify("%s", (value,)).decode() for value in (sep, null))
    target = f"{ext.quote_ident(table, cursor)} {names}"
    return f"COPY {target} {direction} WITH DELIMITER AS {delimiter} NULL AS {nothing}"
