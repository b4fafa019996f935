"""Tables of figures, as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Table:
    """Figures that belong together, the first column being names."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[object]]
    result: str = ""
    """What they come to, and what the aim was."""

    def __str__(self) -> str:
        cells = [[str(cell) for cell in row] for row in (self.headings, *self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in cells]
        return "\n".join([self.title, *(f"  {line}" for line in lines), *([f"  {self.result}"] if self.result else [])])
