"""Runs Pony's suite in each mode and prints a table; exits with 1 if a wrapped run is worse than the plain one."""

from __future__ import annotations

import argparse
import signal
import sys

from fly_orm.testing import Cluster
from tests.bench.report import Table

from . import log
from .modes import CONTROL, PLAIN, WRAPPED
from .outcomes import OK, count
from .run import run
from .verdict import HEADINGS, objections, row, worse_tests


def main() -> int:
    """Run, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--control", action="store_true", help="also show that the suite notices stale reads")
    parser.add_argument("modes", nargs="*", metavar="MODE", help=", ".join(mode.name for mode in WRAPPED))
    options = parser.parse_args()
    modes = {mode.name: mode for mode in WRAPPED}
    if unknown := set(options.modes) - set(modes):
        parser.error(f"no mode is called {', '.join(sorted(unknown))}; there are {', '.join(modes)}")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))  # which stops what was started
    with Cluster.start(settings=log.SETTINGS) as cluster:
        plain, *runs = [
            run(cluster, mode)
            for mode in (PLAIN, *(modes[name] for name in options.modes or modes), *[CONTROL] * options.control)
        ]
    wrong = [] if count(plain.outcomes, OK) > MOST else ["plain: "]
    return 0
