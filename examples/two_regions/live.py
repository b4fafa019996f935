"""Shows the demo on a terminal, in tables that grow as it runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from . import wording
from .results import Compared, Worked
from .step import Step

_NAME_WIDTH = 30
_STYLES = {"✓": "bold green", "✗": "bold red", "lax": "green", "syd": "yellow"}


class LiveScreen:
    """A terminal screen, drawn with rich."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)

    def title(self, text: str) -> None:
        """Show the title."""
        self._console.print(f"\n[bold]{escape(text)}[/]\n")

    def say(self, text: str) -> None:
        """Show a text, and a blank line after it."""
        self._console.print(f"{escape(text)}\n")

    def verdict(self, text: str, *, ok: bool) -> None:
        """Show the verdict."""
        mark = "[bold green]✓[/]" if ok else "[bold red]✗ FAILED[/]"
        self._console.print(f"{mark} [bold]{escape(text)}[/]\n")

    def tour(self, steps: Iterable[Step]) -> list[Step]:
        """Show each step as it happens, and return them all."""
        shown = []
        table = _table(wording.TOUR)
        with self._live() as live:
            live.update(_busy(table, "visiting"))
            for step in steps:
                table.add_row(*map(_cell, wording.tour_row(step)))
                live.update(_busy(table, "visiting"))
                shown.append(step)
            live.update(_done(table))
        return shown

    def comparison(self, rounds: Iterable[Sequence[Compared]]) -> None:
        """Show what each round brings the results to."""
        table = _table(wording.COMPARISON)
        with self._live() as live:
            live.update(_busy(table, wording.COMPARING))
            for results in rounds:
                table = _table(wording.COMPARISON)
                for compared in results:
                    table.add_row(*map(_cell, wording.comparison_row(compared)))
                live.update(_busy(table, wording.COMPARING))
            live.update(_done(table))

    def hard_work(self, ways: Iterable[Worked]) -> None:
        """Show each way as it is done."""
        table = _table(wording.HARD_WORK)
        with self._live() as live:
            live.update(_busy(table, wording.WORKING))
            for worked in ways:
                table.add_row(*map(_cell, wording.work_row(worked)))
                live.update(_busy(table, wording.WORKING))
            live.update(_done(table))

    def _live(self) -> Live:
        return Live(console=self._console, refresh_per_second=12)


def _table(columns: Sequence[tuple[str, int, bool]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for heading, width, numbers in columns:
        if width >= _NAME_WIDTH:
            table.add_column(heading, max_width=width, min_width=width // 2)  # folds where the terminal is narrow
        else:
            table.add_column(heading, min_width=width, justify="right" if numbers else "left", no_wrap=True)
    return table


def _cell(text: str) -> Text:
    return Text(text, style=_STYLES.get(text, ""))


def _busy(table: Table, text: str) -> Group:
    return Group(table, Text(), Spinner("dots", text=Text(text, style="dim")))


def _done(table: Table) -> Group:
    return Group(table, Text())
