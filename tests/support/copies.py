"""Sources of COPY that are as long as several pieces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

#: How many pieces the source has.
PIECES = 5


def make_pieces_small(patch: pytest.MonkeyPatch, size: int = 10) -> None:
    """Let a piece have so many bytes in this process: no more than a row of the source."""
    patch.setattr("fly_orm.driver.copy_source.PIECE_BYTES", size)
    patch.setattr("fly_orm.serving.copy_files.PIECE_BYTES", size)


class Source:
    """A file of rows, each as long as a piece, that does something when it is asked for one of them, or for the end."""

    def __init__(self, **actions: Callable[[], Any]) -> None:
        self.actions = actions
        self.rows = 0

    def read(self, size: int) -> str:
        self.actions.get(f"at_{self.rows}", lambda: None)()
        if self.rows == PIECES:
            return ""
        self.rows += 1
        return f"row {self.rows:05}\n"


def copy(db: Any, source: Any) -> Any:
    """A cursor that has copied from the source."""
    cursor = db.connection().cursor()
    cursor.copy_from(source, "t", columns=("name",))
    return cursor
