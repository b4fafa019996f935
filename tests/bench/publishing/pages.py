"""Writes what is stored into the pages, between marks that say which benchmark it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.support import ROOT
from tests.support.tables import Table

from .drawing import file_of
from .stored import Stored

#: The block that says on which machines the figures were taken.
MACHINES = "machines"
PAGES = (ROOT / "docs" / "performance.md", ROOT / "docs" / "growth.md")
_BLOCK = re.compile(r"<!-- measured: (\w+) -->\n.*?<!-- end of \1 -->", re.DOTALL)


def write(found: Mapping[str, Stored], pages: Iterable[Path] = PAGES) -> None:
    """Replace each block by what was measured last."""
    for page in pages:
        page.write_text(filled(page.read_text(), found))


def filled(text: str, found: Mapping[str, Stored]) -> str:
    """The text of a page with its blocks as they should be."""
    return _BLOCK.sub(lambda match: block(match[1], found), text)


def names_in(text: str) -> list[str]:
    """The benchmarks that a page has a block for."""
    return [match[1] for match in _BLOCK.finditer(text) if match[1] != MACHINES]


def block(name: str, found: Mapping[str, Stored]) -> str:
    """What stands in a page for a benchmark, with its marks."""
    if name == MACHINES:
        inside = _machines(found.values())
    elif name in found:
        inside = _shown(found[name])
    else:
        inside = f"*Not measured yet: `python -m tests.bench {name} --save`*"
    return f"<!-- measured: {name} -->\n{inside}\n<!-- end of {name} -->"


def _machines(found: Iterable[Stored]) -> str:
    """Where the figures were taken, and which of them, if they were taken on several machines."""
    names: dict[str, list[str]] = {}
    for each in found:
        names.setdefault(each.machine, []).append(each.name)
    if len(names) == 1:
        return f"All figures are of one machine: {next(iter(names))}."
    return "\n".join(f"- {machine}: {', '.join(f'`{name}`' for name in on_it)}" for machine, on_it in names.items())


def _shown(found: Stored) -> str:
    parts = [f"![{plot.message}](performance/{file_of(plot)})" for plot in found.report.plots]
    parts += [_table(table) for table in found.report.tables]
    return "\n\n".join([*parts, _source(found)])


def _table(table: Table) -> str:
    header = f"| {' | '.join(map(_cell, table.headings))} |"
    rule = f"|{'|'.join(['---', *['---:'] * (len(table.headings) - 1)])}|"
    rows = [f"| {' | '.join(map(_cell, row))} |" for row in table.rows]
    result = [f"\n{_sentence(table.result)}"] if table.result else []
    return "\n".join([f"**{_sentence(table.title)}**\n", header, rule, *rows, *result])


def _source(found: Stored) -> str:
    short = " in the short form, which is rough," if found.quick else ""
    version = f" of {found.version}" if found.version else ""
    return (
        f"<sub>`{found.command}`{version},{short} on {found.day.day} {found.day:%B %Y}, {found.seconds:.0f} s, load "
        f"{found.load:.1f} before it began.</sub>"
    )


def _sentence(text: str) -> str:
    return _cell(text[:1].upper() + text[1:])


def _cell(cell: object) -> str:
    return re.sub(r"\s*\n\s*", "<br>", str(cell)).replace("|", "\\|").replace("<br>", " ")
