"""What a COPY … FROM STDIN on the primary reads."""

from __future__ import annotations

import math
from typing import Any

from psycopg2 import extensions as ext

from ..deadline import Deadline, now
from ..protocol.copying import PIECE_BYTES, BrokenInput
from ..protocol.messages import Copy, Copying

#: Seconds after which a slow source's piece is sent though it is short: a node gives up a caller that is silent.
_PIECE_INTERVAL = 1.0


class CopySource:
    """A file of the caller's, read as psycopg2 reads it, and sent in pieces. Holds one of them at a time."""

    is_input = True

    def __init__(self, file: Any, size: int, connection: Any) -> None:
        """Read the first piece; ``size`` is what ``file.read()`` is called with."""
        self._read = file.read
        self._size = size
        self._encoding = ext.encodings[connection.encoding]
        self._router = connection.router
        self._data = bytearray()
        self._ended = False
        self._broken: dict[str, str] | None = None
        self._began = now()
        self._fill(math.inf)
        data, last, broken = self._next()
        self.fields = {"copy_in" if last else "copy_in_begins": data} if broken is None else {"broken_copy_in": broken}

    def go_on(self, copying: Copying) -> Copy:
        """The next piece."""
        self._fill(now() + _PIECE_INTERVAL)
        data, last, broken = self._next()
        return Copy(data=data, last=last) if broken is None else Copy(broken=broken, last=last)

    def deadline(self, copy: Copy) -> Deadline:
        """When a piece has to be taken. After the last one, the COPY may take as long again as it has taken so far.

        Postgres then checks foreign keys and the like for all rows, and nothing tells how far it is.
        """
        deadline: Deadline = self._router.deadline(now() - self._began if copy.last else 0)
        return deadline

    def _next(self) -> tuple[bytes, bool, BrokenInput | None]:
        """The next piece, whether it is the last one, and what to send in its place if the source has failed there."""
        data = bytes(self._data[:PIECE_BYTES])
        del self._data[:PIECE_BYTES]
        last = self._ended and not self._data
        return data, last, BrokenInput(data=data, **self._broken) if last and self._broken is not None else None

    def _fill(self, until: float) -> None:
        """Read until there is more than a piece, or the source ends; from an instant on, until there is anything."""
        while not self._ended and len(self._data) <= PIECE_BYTES and (now() < until or not self._data):
            try:
                piece = self._read(self._size)
                piece = piece.encode(self._encoding) if isinstance(piece, str) else piece
            except Exception as error:  # noqa: BLE001  # the server is told of it, and then the caller
                self._end({"error_class": type(error).__name__, "error": str(error)})
            else:
                if not isinstance(piece, bytes):
                    self._end({})
                elif piece:
                    self._data += piece
                else:
                    self._end(None)

    def _end(self, broken: dict[str, str] | None) -> None:
        self._ended, self._broken = True, broken
