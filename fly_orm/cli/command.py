"""What a module has to define to be a subcommand."""

from __future__ import annotations

import argparse
from typing import Protocol


class Command(Protocol):
    """A subcommand of ``fly-orm``. Modules implement it."""

    NAME: str
    """What users type after ``fly-orm``."""
    HELP: str
    """A clause that says what it does, for ``fly-orm --help``."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options of the subcommand, if it has any."""
        ...

    def run(self, options: argparse.Namespace) -> int:
        """Run the subcommand and return the exit status. A FlyOrmError is printed, and makes it 2."""
        ...
