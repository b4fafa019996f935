"""Results that are as long as several pieces, and what happens between these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fly_orm.driver.result_pieces import ResultPieces
from fly_orm.protocol.messages import Copy, Copying

#: How many rows a piece has: libpq hands them over together.
PIECE = 16
#: How many pieces the result has, and the rest of a row.
PIECES = 5
ROWS = PIECES * PIECE + 1
#: The query for it.
QUERY = f"SELECT g, repeat('x', 100) FROM generate_series(1, {ROWS}) g"


def make_pieces_small(patch: pytest.MonkeyPatch) -> None:
    """Let a piece have no more rows than libpq hands over at a time, in this process."""
    patch.setattr("fly_orm.postgres.row_stream._BATCH_ROWS", 1)
    patch.setattr(ResultPieces, "fields", {"piece_bytes": 1})


def between(patch: pytest.MonkeyPatch, **actions: Callable[[], Any]) -> list[int]:
    """Do something once so many pieces have come: ``at_1`` is behind the first one. Returns how many rows they had."""
    sizes: list[int] = []
    go_on = ResultPieces.go_on

    def act(pieces: ResultPieces, copying: Copying) -> Copy:
        sizes.append(copying.rows)
        actions.get(f"at_{len(sizes)}", lambda: None)()
        return go_on(pieces, copying)

    patch.setattr(ResultPieces, "go_on", act)
    return sizes
