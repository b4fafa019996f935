"""Runs the suite of an ORM in each mode and prints a table; exits with 1 if a wrapped run is worse than a plain one."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from fly_orm.testing import Cluster
from tests.support.pgbouncer import find_executable
from tests.support.tables import Table

from . import log, peewee_suite
from .modes import Mode, baseline
from .run import Run, run
from .servers import Servers
from .suites import PEEWEE, PONY, SUITES, Suite
from .verdict import HEADINGS, objections, row, worse_tests


def main() -> int:
    """Run, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--control", action="store_true", help="also show that the suite notices stale reads")
    parser.add_argument(
        "--suite", choices=sorted({*SUITES} - {PEEWEE.name}), default=PONY.name, help="whose tests (default: Pony's)"
    )
    parser.add_argument(
        "--peewee",
        metavar="FOLDER",
        type=Path,
        help="run peewee's suite: that of a checkout of https://github.com/coleifer/peewee",
    )
    listed = dict.fromkeys(mode.name for suite in SUITES.values() for mode in suite.modes)
    parser.add_argument("modes", nargs="*", metavar="MODE", help=f"of a suite, or of its own: {', '.join(listed)}")
    options = parser.parse_args()
    suite = PEEWEE if options.peewee else SUITES[options.suite]
    modes = {mode.name: mode for mode in suite.modes}
    if unknown := set(options.modes) - set(modes):
        parser.error(f"no mode is called {', '.join(sorted(unknown))}; there are {', '.join(modes)}")
    if options.peewee and not (options.peewee / "tests" / "base.py").exists():
        parser.error(f"{options.peewee} is not a checkout of peewee's repository: it has no tests/base.py")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))  # which stops what was started
    if options.peewee:
        os.environ[peewee_suite.FOLDER] = str(options.peewee.resolve())
    chosen = [modes[name] for name in options.modes] or _possible(suite)
    return report(suite, run_all(suite, [*chosen, *[suite.control] * options.control]))


def run_all(suite: Suite, modes: Sequence[Mode]) -> list[tuple[Run, Run]]:
    """Each run with its baseline, which is run once, before those that are compared with it."""
    with Cluster.start(settings=log.SETTINGS) as cluster:
        servers, plain = Servers(cluster), dict[Mode, Run]()
        runs = []
        for mode in modes:
            base = baseline(mode)
            if base not in plain:
                plain[base] = _run(suite, servers, base)
                runs.append((plain[base], plain[base]))
            runs.append((plain[base], _run(suite, servers, mode)))
        return runs


def report(suite: Suite, runs: Sequence[tuple[Run, Run]]) -> int:
    """Print the table, and what is wrong; return the exit code."""
    wrong = [line for plain, one in runs for line in objections(suite, plain, one)]
    rows = [row(plain, one) for plain, one in runs]
    print(Table(title=f"The own tests of {suite.name} {version(suite.package)}", headings=HEADINGS, rows=rows))
    worse = [line for plain, one in runs if not one.mode.is_control for line in worse_tests(suite, plain, one)]
    for line in (*worse, *wrong):
        print(line)
    return 1 if wrong else 0


def _possible(suite: Suite) -> list[Mode]:
    """All modes of a suite, or those without a pooler if there is none."""
    modes = list(suite.modes)
    if find_executable() or not any(mode.pooling for mode in modes):
        return modes
    print("there is no pgbouncer on the PATH (Debian: apt-get install pgbouncer); its modes are left out")
    return [mode for mode in modes if mode.pooling is None]


def _run(suite: Suite, servers: Servers, mode: Mode) -> Run:
    print(f"running {mode.name} ...", file=sys.stderr, flush=True)
    return run(suite, servers, mode)


if __name__ == "__main__":
    sys.exit(main())
