"""What was measured, as JSON files next to the plots, from which the pages are written."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import msgspec

from tests.support import ROOT
from tests.support.tables import Table

from ..report import Report

FOLDER = ROOT / "docs" / "performance"


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One benchmark's report, with where it comes from."""

    name: str
    machine: str
    load: float
    """The average number of runnable processes in the minute before it began."""
    day: date
    version: str
    """What was measured: a commit, with ``-dirty`` if files were changed."""
    quick: bool
    seconds: float
    report: Report

    @property
    def command(self) -> str:
        """What measures it again."""
        return f"python -m tests.bench {self.name}{' --quick' if self.quick else ''}"

    def write(self, folder: Path = FOLDER) -> None:
        """Replace the file of this benchmark."""
        folder.mkdir(exist_ok=True)
        text = msgspec.json.format(msgspec.json.encode(self._as_text()), indent=1)
        (folder / f"{self.name}.json").write_bytes(text + b"\n")

    def _as_text(self) -> Stored:
        """With cells that are read as they were written."""
        tables = [_as_text(table) for table in self.report.tables]
        return replace(self, report=replace(self.report, tables=tables))


def stored(names: Iterable[str], folder: Path = FOLDER) -> dict[str, Stored]:
    """What the files say, for those of these benchmarks that have one."""
    files = {name: folder / f"{name}.json" for name in names}
    return {name: msgspec.json.decode(file.read_bytes(), type=Stored) for name, file in files.items() if file.exists()}


def measured_version() -> str:
    """The commit of the working tree; empty outside of a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=9"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return shown.stdout.strip()


def _as_text(table: Table) -> Table:
    return replace(table, rows=[[str(cell) for cell in row] for row in table.rows])
