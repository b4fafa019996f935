"""The files that the driver reads and writes in a COPY: all of the data at once, or the pieces that come and go.

The driver uses a file on the thread that runs the COPY. The other methods of one over pieces are called on the thread
that talks to the caller, and under ``changed``, on which each of the two threads waits for the other.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any

from ..protocol.copying import PIECE_BYTES, BrokenInput
from ..protocol.messages import Copy, Copying, Run


class CallerGone(Exception):
    """The caller has ended its lease, or cannot be reached any more."""


class PrimaryGone(Exception):
    """The connection to the primary was lost."""


class BrokenFile(io.BytesIO):
    """Fails after what it has, with the same error as the file that the caller could not read."""

    def __init__(self, broken: BrokenInput) -> None:
        super().__init__(broken.data)
        self._broken = broken

    def read(self, size: int | None = -1) -> Any:
        data = super().read(size)
        if not data and self._broken.error_class:
            raise type(self._broken.error_class, (Exception,), {})(self._broken.error)
        return data or None  # which is not what a file returns, so that psycopg2 makes the COPY fail


class CopyInput:
    """What COPY … FROM STDIN reads: one piece after another. It holds two at most."""

    def __init__(self, first: bytes, has_hung_up: Callable[[], bool]) -> None:
        """``has_hung_up`` tells whether the primary has closed the connection, which the driver notices in the end."""
        self.changed = threading.Condition()
        self.complete = False
        """Whether the driver was given all of the input."""
        self._has_hung_up = has_hung_up
        self._piece = io.BytesIO()
        self._next: io.BytesIO | None = io.BytesIO(first)
        self._last = self._next_is_last = self._aborted = False

    def read(self, size: int = -1) -> Any:
        """The next bytes, at most ``size``; nothing once the last piece has been read."""
        while not (data := self._piece.read(size)):
            if self._has_hung_up():
                raise PrimaryGone("the primary has closed the connection")
            if self._last:
                self.complete = data == b""
                break
            self._take_next()
        return data

    def _take_next(self) -> None:
        with self.changed:
            self.changed.wait_for(lambda: self._next is not None or self._aborted)
            if self._next is None or self._aborted:
                raise CallerGone("its caller has disconnected, or has been silent for too long")
            self._piece, self._last, self._next = self._next, self._next_is_last, None
            self.changed.notify_all()

    def go_on(self, copy: Copy) -> None:
        """Take the next piece."""
        self._next = io.BytesIO(copy.data) if copy.broken is None else BrokenFile(copy.broken)
        self._next_is_last = copy.last
        self.changed.notify_all()

    @property
    def ready(self) -> bool:
        """Whether there is room for another piece."""
        return self._next is None and not self._last

    def hurry(self) -> None:
        """Nothing can be done about a server that does not take the piece."""

    def reply(self) -> Copying:
        """The reply to a piece that was taken."""
        return Copying()

    def abort(self) -> None:
        """Make the COPY fail when it needs another piece."""
        self._aborted = True
        self.changed.notify_all()


class CopyOutput:
    """What COPY … TO STDOUT writes to. It holds a piece, and a row, until the caller has asked for more."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self._data = bytearray()
        self._sizes: list[int] = []
        self._hurried = self._discards = False

    def write(self, row: bytes) -> None:
        """Keep the row, once there is room for it."""
        with self.changed:
            self.changed.wait_for(lambda: len(self._data) < PIECE_BYTES or self._discards)
            if self._discards:
                return
            self._data += row
            self._sizes.append(len(row))
            if self.ready:
                self.changed.notify_all()

    def rest(self) -> tuple[bytes, list[int]]:
        """Take what is left in the end, once it is not longer than a piece, and the sizes not yet mentioned."""
        with self.changed:
            self.changed.wait_for(lambda: len(self._data) <= PIECE_BYTES or self._discards)
            data, sizes = bytes(self._data), self._sizes
            self._data.clear()  # what was taken here must not be sent as a piece as well
            self._sizes = []
            return data, sizes

    def go_on(self, copy: Copy) -> None:
        """Make room, and expect to be asked for the next piece."""
        if copy.discards:
            self.abort()

    @property
    def ready(self) -> bool:
        """Whether there is a piece to send."""
        return len(self._data) >= (1 if self._hurried else PIECE_BYTES) and not self._discards

    def hurry(self) -> None:
        """Send a short piece rather than none: the query is slow, but goes on."""
        self._hurried = True

    def reply(self) -> Copying:
        """The piece to send."""
        copying = Copying(data=bytes(self._data[:PIECE_BYTES]), sizes=self._sizes)
        del self._data[:PIECE_BYTES]
        self._sizes, self._hurried = [], False
        self.changed.notify_all()
        return copying

    def abort(self) -> None:
        """Drop all that comes: the driver has to read it even if the statement is cancelled."""
        self._discards = True
        self._data.clear()
        self._sizes = []
        self.changed.notify_all()


def is_whole(run: Run) -> bool:
    """Whether a request has the only statement of its COPY, and that of its COMMIT."""
    copies = run.copy_out or run.copy_in is not None or run.broken_copy_in is not None or run.copy_in_begins is not None
    return len(run.statements) == 1 if copies else bool(run.statements) or not run.commits


def in_pieces(run: Run, has_hung_up: Callable[[], bool]) -> CopyInput | CopyOutput | None:
    """The file of a COPY whose data travels in pieces; None if the request has no such COPY.

    The ledger records all of the output of a COPY that is not in a transaction of the caller's.
    """
    if run.copy_in_begins is not None:
        return CopyInput(run.copy_in_begins, has_hung_up)
    recorded = run.record is not None and not run.preamble
    return CopyOutput() if run.copy_out_in_pieces and not recorded else None
