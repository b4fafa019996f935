"""``fly-orm transports``: which transports are installed, and whether they work."""

from __future__ import annotations

import argparse
from typing import Any

from ..registry import TRANSPORTS, registry, survey_transports
from ..settings import Settings


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser("transports", help="list what can carry the requests, and what fails to load")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Print the transports that are installed; 1 if one of them, or the one that is selected, cannot be used."""
    settings = Settings.from_environment()
    selected = settings.transport
    rows, failed = [("NAME", "DISTRIBUTION", "VERSION", "OBJECT", "STATUS")], False
    for plugin, problem in survey_transports(settings):
        chosen = ", selected" if plugin.name == selected else ""
        status = " ".join(f"{problem or 'ok'}{chosen}".split())
        rows.append((plugin.name, plugin.distribution, plugin.version, plugin.target, status))
        failed = failed or problem is not None
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if selected not in {row[0] for row in rows[1:]}:
        registry(TRANSPORTS).load(selected)  # says so, and which there are
    return int(failed)
