"""Runs Pony's suite in each mode and prints a table; exits with 1 if a wrapped run is worse than the plain one."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version

from fly_orm.testing import Cluster
from tests.bench.report import Table

from . import log
from .modes import CONTROL, PLAIN, WRAPPED, Mode
from .run import Run, run
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
    chosen = [modes[name] for name in options.modes] or list(WRAPPED)
    with Cluster.start(settings=log.SETTINGS) as cluster:
        plain, *others = [_run(cluster, mode) for mode in (PLAIN, *chosen, *[CONTROL] * options.control)]
    return report(plain, others)


def report(plain: Run, others: Sequence[Run]) -> int:
    """Print the table, and what is wrong; return the exit code."""
    runs = (plain, *others)
    wrong = [line for one in runs for line in objections(plain, one)]
    rows = [row(plain, one) for one in runs]
    print(Table(title=f"Pony {version('pony')}'s own tests", headings=HEADINGS, rows=rows))
    worse = [line for one in others if one.mode != CONTROL for line in worse_tests(plain, one)]
    for line in (*worse, *wrong):
        print(line)
    return 1 if wrong else 0


def _run(cluster: Cluster, mode: Mode) -> Run:
    print(f"running {mode.name} ...", file=sys.stderr, flush=True)
    return run(cluster, mode)


if __name__ == "__main__":
    sys.exit(main())
