"""Parsers for options that several subcommands have."""

from __future__ import annotations

import argparse
import math

#: The most seconds that an option takes.
MOST = 3600.0


def seconds(text: str) -> float:
    """The value of an option in seconds; argparse reports it if it is out of bounds."""
    try:
        given = float(text)
    except ValueError:
        given = math.nan
    if not 0 < given <= MOST:
        raise argparse.ArgumentTypeError(f"{text!r:.100}: write seconds, more than 0 and at most {MOST:g}")
    return given
