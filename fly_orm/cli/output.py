"""What commands print to standard output, which may be full, or lead to a program that has ended."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from ..errors import FlyOrmError


class OutputFailed(FlyOrmError):
    """Standard output did not take what a command has printed."""


def show(text: str, end: str = "\n") -> None:
    """Print a result of a command; OutputFailed if it cannot be written, from BrokenPipeError if nobody reads it."""
    try:
        print(text, end=end, flush=True)
    except OSError as error:
        raise OutputFailed(f"cannot write to standard output: {error}") from error


def announce(text: str) -> None:
    """Print what a node says when it serves, which is less than a reason to end it."""
    with suppress(OSError):
        print(text, flush=True)


def complain(text: str) -> None:
    """Print to standard error, if that is possible."""
    with suppress(OSError):
        print(f"fly-orm: {text}", file=sys.stderr, flush=True)


def drop_unwritten() -> None:
    """Give up what standard output has not taken. Python would try again when it ends, with a status of its own."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
