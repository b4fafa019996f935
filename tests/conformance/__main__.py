"""Runs the suites of the ORMs in each mode and prints tables.

Exits with 1 if a wrapped run is worse than a plain one, or a suite did not run.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from fly_orm.errors import ConfigurationError
from fly_orm.testing import Cluster
from tests.support.pgbouncer import find_executable
from tests.support.tables import Table

from . import log, peewee_suite
from .modes import Mode, baseline
from .run import Run, run
from .servers import Servers, unavailable
from .suites import PEEWEE, SUITES, Suite
from .verdict import HEADINGS, enough_for_control, objections, row, worse_tests


def main() -> int:
    """Run, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--control", action="store_true", help="also show that the suites notice stale reads")
    parser.add_argument(
        "--suite",
        action="append",
        choices=sorted({*SUITES} - {PEEWEE.name}),
        help="whose tests; repeat it for several (default: all suites)",
    )
    parser.add_argument(
        "--peewee",
        metavar="FOLDER",
        type=Path,
        help="run peewee's suite: that of a checkout of https://github.com/coleifer/peewee",
    )
    listed = dict.fromkeys(mode.name for suite in SUITES.values() for mode in suite.modes)
    parser.add_argument(
        "modes", nargs="*", metavar="MODE", help=f"those that a suite has of: {', '.join(listed)} (default: all)"
    )
    options = parser.parse_args()
    if options.peewee and not (options.peewee / "tests" / "base.py").exists():
        parser.error(f"{options.peewee} is not a checkout of peewee's repository: it has no tests/base.py")
    suites = _chosen(options)
    possible = dict.fromkeys(mode.name for suite in suites for mode in suite.modes)
    if unknown := set(options.modes) - set(possible):
        parser.error(f"no mode is called {', '.join(sorted(unknown))}; there are {', '.join(possible)}")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))  # which stops what was started
    if options.peewee:
        os.environ[peewee_suite.FOLDER] = str(options.peewee.resolve())
    return max(_run_suite(suite, options) for suite in suites)


def run_all(suite: Suite, modes: Sequence[Mode]) -> Iterator[tuple[Run, Run]]:
    """Each run with its baseline, which is run once, before those that are compared with it."""
    with Cluster.start(settings=log.SETTINGS) as cluster:
        if missing := unavailable(cluster.primary, suite.extensions):
            raise ConfigurationError(f"this PostgreSQL has no {', '.join(missing)}: set PG_BIN to one with contrib")
        servers, plain = Servers(cluster, modes), dict[Mode, Run]()
        for mode in modes:
            base = baseline(mode)
            if base not in plain:
                plain[base] = _run(suite, servers, base)
                yield plain[base], plain[base]
            enough = enough_for_control(suite, plain[base]) if mode.is_control else 0
            yield plain[base], _run(suite, servers, mode, enough)


def report(suite: Suite, runs: Iterable[tuple[Run, Run]]) -> int:
    """Print the tests that are worse as they come, then a table and what is wrong; return the exit code."""
    rows, wrong = [], []
    for plain, one in runs:
        rows.append(row(plain, one))
        wrong += objections(suite, plain, one)
        for line in () if one.mode.is_control else worse_tests(suite, plain, one):
            print(line, flush=True)
    print(Table(title=f"The own tests of {suite.name} {version(suite.package)}", headings=HEADINGS, rows=rows))
    for line in wrong:
        print(line, flush=True)
    return 1 if wrong else 0


def _chosen(options: argparse.Namespace) -> list[Suite]:
    """Those that are named; otherwise all, except that peewee's has to be fetched by hand."""
    named = [SUITES[name] for name in options.suite or ()]
    if options.peewee:
        return [PEEWEE, *named]
    return named or [suite for suite in SUITES.values() if suite is not PEEWEE]


def _run_suite(suite: Suite, options: argparse.Namespace) -> int:
    modes = [mode for mode in suite.modes if mode.name in options.modes] if options.modes else _possible(suite)
    try:
        return report(suite, run_all(suite, [*modes, *[suite.control] * options.control]))
    except ConfigurationError as error:
        print(f"{suite.name} did not run: {error}", flush=True)
        return 1


def _possible(suite: Suite) -> list[Mode]:
    """All modes of a suite, or those without a pooler if there is none."""
    modes = list(suite.modes)
    if find_executable() or not any(mode.pooling for mode in modes):
        return modes
    print("there is no pgbouncer on the PATH (Debian: apt-get install pgbouncer); its modes are left out")
    return [mode for mode in modes if mode.pooling is None]


def _run(suite: Suite, servers: Servers, mode: Mode, enough: int = 0) -> Run:
    print(f"running {suite.name} {mode.name} ...", file=sys.stderr, flush=True)
    return run(suite, servers, mode, enough=enough)


if __name__ == "__main__":
    sys.exit(main())
