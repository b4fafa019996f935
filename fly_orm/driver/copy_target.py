"""Where a COPY … TO STDOUT on the primary writes to."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterable
from types import MappingProxyType
from typing import Any

from psycopg2 import extensions as ext

from ..deadline import Deadline
from ..protocol.messages import Copy, Copying, Result


class CopyTarget:
    """A file of the caller's, written a row at a time. Holds a piece of the output, and a row."""

    is_input = False
    fields = MappingProxyType({"copy_out": True, "copy_out_in_pieces": True})

    def __init__(self, file: Any, connection: Any) -> None:
        """If the file is a text file, the output is decoded."""
        self._write = file.write
        self._encoding = ext.encodings[connection.encoding] if isinstance(file, io.TextIOBase) else None
        self._router = connection.router
        self._data = b""
        self._sizes: deque[int] = deque()
        self._failure: Exception | None = None

    def go_on(self, copying: Copying) -> Copy:
        """Write a piece, and ask for the next one. If the file raises, the COPY runs to its end without it."""
        try:
            self._take(copying.data, copying.sizes)
        except Exception as error:  # noqa: BLE001  # for the caller, once the COPY has ended
            self._failure = error
        return Copy(discards=self._failure is not None)

    def deadline(self, copy: Copy) -> Deadline:
        """When the node must have sent some more."""
        deadline: Deadline = self._router.deadline()
        return deadline

    def finish(self, result: Result) -> None:
        """Write the rest; raises what the file raises now, or has raised before."""
        if self._failure is not None:
            raise self._failure
        data = result.copied or b""
        sizes = result.copied_sizes or ([] if self._sizes else [len(data)])  # an older node does not tell the sizes
        self._take(data, sizes)

    def _take(self, data: bytes, sizes: Iterable[int]) -> None:
        self._sizes.extend(filter(None, sizes))
        data, end = self._data + data, 0
        while self._sizes and end + self._sizes[0] <= len(data):
            start, end = end, end + self._sizes.popleft()
            row = data[start:end]
            self._write(row if self._encoding is None else row.decode(self._encoding))
        self._data = data[end:]
