"""The command line as a whole: its parser, its subcommands and its exit status."""

from __future__ import annotations

import argparse
import logging
import signal
from collections.abc import Sequence

from ..errors import FlyOrmError
from ..findings.versions import versions
from . import certificates, check, ledger, secret, serve, status, transports
from .command import Command
from .output import OutputFailed, complain, drop_unwritten

#: The subcommands, in the order in which help lists them.
COMMANDS: tuple[Command, ...] = (transports, serve, check, status, ledger, secret, certificates)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    That is the status of the subcommand; 2 for a mistake of the user, or if what it prints cannot be written; and 141,
    as for programs that SIGPIPE ends, if nobody reads that.
    """
    try:
        options = make_parser().parse_args(arguments)
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
        return _run(options)
    finally:
        drop_unwritten()


def _run(options: argparse.Namespace) -> int:
    command: Command = options.command
    try:
        return command.run(options)
    except FlyOrmError as error:
        if isinstance(error.__cause__, BrokenPipeError) and isinstance(error, OutputFailed):
            return 128 + signal.SIGPIPE
        complain(str(error))
        return 2


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(prog="fly-orm", description="Commands for applications that use fly_orm.")
    parser.add_argument(
        "--version", action="version", version=", ".join(f"{name} {version}" for name, version in versions().items())
    )
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        subparser = subparsers.add_parser(command.NAME, help=command.HELP)
        subparser.set_defaults(command=command)
        command.add_arguments(subparser)
    return parser
