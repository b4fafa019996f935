"""The command line as a whole: its parser, and its exit status."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from ..errors import FlyOrmError
from . import serve, transports

#: The subcommands, in the order in which help lists them.
_COMMANDS = (transports, serve)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0, 1 for a transport that fails, 2 for a mistake of the user's."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        return int(options.command(options))
    except FlyOrmError as error:
        print(f"fly-orm: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fly-orm",
        description="Runs a node, which serves those of other regions, and lists what can carry requests.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add(commands)
    return parser
