"""Shows the demo as plain text, for a file, a pipe or a simple terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from . import wording
from .results import Compared, Worked
from .step import Step

Columns = Sequence[tuple[str, int, bool]]


class PlainScreen:
    """Prints one line for each result."""

    def title(self, text: str) -> None:
        """Show the title."""
        print(f"{text}\n", flush=True)

    def say(self, text: str) -> None:
        """Show a text, and a blank line after it."""
        print(f"{text}\n", flush=True)

    def verdict(self, text: str, *, ok: bool) -> None:
        """Show the verdict."""
        print(text if ok else f"FAILED: {text}", flush=True)

    def tour(self, steps: Iterable[Step]) -> list[Step]:
        """Show each step as it happens, and return them all."""
        shown = []
        self._line(wording.TOUR, [heading for heading, _, _ in wording.TOUR])
        for step in steps:
            self._line(wording.TOUR, wording.tour_row(step))
            shown.append(step)
        print()
        return shown

    def comparison(self, rounds: Iterable[Sequence[Compared]]) -> None:
        """Show the results after the last round."""
        *_, results = rounds
        self._line(wording.COMPARISON, [heading for heading, _, _ in wording.COMPARISON])
        for compared in results:
            self._line(wording.COMPARISON, wording.comparison_row(compared))
        print()

    def hard_work(self, ways: Iterable[Worked]) -> None:
        """Show each way as it is done."""
        self._line(wording.HARD_WORK, [heading for heading, _, _ in wording.HARD_WORK])
        for worked in ways:
            self._line(wording.HARD_WORK, wording.work_row(worked))
        print()

    def _line(self, columns: Columns, cells: Sequence[str]) -> None:
        aligned = (
            cell.rjust(width) if numbers else cell.ljust(width)
            for cell, (_, width, numbers) in zip(cells, columns, strict=True)
        )
        print("  ".join(aligned).rstrip(), flush=True)
