"""Long results of the primary. Their pieces are kept as they came until rows of them are fetched."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from ..classify import Statement
from ..classify.long_results import may_return_much
from ..deadline import Deadline
from ..forwarding.copying import CopyData
from ..protocol.copying import PIECE_BYTES
from ..protocol.encoding import decode_values
from ..protocol.messages import Copy, Copying, Result
from ..protocol.results import Values
from ..routing.forwarded import Forwarded
from ..routing.remote_connection import RemoteConnection


class LongResult(Result, frozen=True, kw_only=True):
    """A result with the pieces that came before the rest of it."""

    pieces: list[Copying]


class Rows(NamedTuple):
    """Some rows of a result: their numbers, beginning with 0, and their values."""

    start: int
    end: int
    values: Values


class ResultPieces:
    """Takes the pieces of the result of one statement, if it is long."""

    is_input = False
    fields = MappingProxyType({"piece_bytes": PIECE_BYTES})

    def __init__(self, router: Any) -> None:
        self._router = router
        self._pieces: list[Copying] = []

    def go_on(self, copying: Copying) -> Copy:
        """Keep a piece, and ask for the next one."""
        self._pieces.append(copying)
        return Copy()

    def deadline(self, copy: Copy) -> Deadline:
        """When the next piece must have come."""
        deadline: Deadline = self._router.deadline()
        return deadline

    def whole(self, result: Result) -> Result:
        """The result with its pieces. Earlier ones are those of other statements in the same string."""
        missing, start = result.rows_before, len(self._pieces)
        if not missing:
            return result
        while missing > 0:
            start -= 1
            missing -= self._pieces[start].rows
        fields = {name: getattr(result, name) for name in result.__struct_fields__}
        return LongResult(**fields, pieces=self._pieces[start:])


def forward(
    remote: RemoteConnection,
    sqls: Sequence[bytes],
    statement: Statement,
    why: str,
    *,
    copy: CopyData | None = None,
    **options: Any,
) -> Forwarded:
    """What :meth:`.RemoteConnection.forward` returns; if the result is long, it comes in pieces."""
    if copy is not None or len(sqls) != 1 or not may_return_much(sqls[0]):
        return remote.forward(sqls, statement, why, copy=copy, **options)
    pieces = ResultPieces(remote.router)
    forwarded = remote.forward(sqls, statement, why, copy=pieces, **options)
    return forwarded._replace(result=pieces.whole(forwarded.result))


class PiecedRows:
    """The rows of a result. Those of one piece at a time are decoded: they take many times as much memory then."""

    def __init__(self, result: Result) -> None:
        self._pieces = result.pieces if isinstance(result, LongResult) else []
        self._starts = [0]
        for piece in self._pieces:
            self._starts.append(self._starts[-1] + piece.rows)
        self.count = self._starts[-1] + result.rows
        """How many rows there are."""
        self._last = Rows(self._starts[-1], self.count, result.data)
        self._decoded = self._last

    def at(self, row: int) -> Rows:
        """Those rows that came together with this one; the last ones if there is no such row."""
        for rows in (self._decoded, self._last):
            if rows.start <= row < rows.end:
                return rows
        if row >= self.count:
            return self._last
        number = bisect_right(self._starts, row) - 1
        start, piece = self._starts[number], self._pieces[number]
        self._decoded = Rows(start, start + piece.rows, decode_values(piece.data))
        return self._decoded
