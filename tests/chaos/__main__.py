"""Makes faults of every kind for some time, and prints what happened; exits with 1 if a promise was broken.

With a fault planted, exits with 1 if no promise was broken.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from .plants import PLANTS
from .running import run
from .world import world


def main() -> None:
    """Run, and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plant", action="append", choices=PLANTS, default=[], help="a fault that is to be found")
    parser.add_argument(
        "--ledger", action="store_true", help="clients record writes, and repeat those of unknown outcome"
    )
    parser.add_argument("--only", action="append", default=[], help="a part of the names of the faults to make")
    given = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))  # which stops what was started
    folder = Path(tempfile.mkdtemp(prefix="fly_orm_chaos."))
    print(f"seed {given.seed}, load {os.getloadavg()[0]:.1f}, journals in {folder}", flush=True)
    with world(folder, plants=given.plant, ledger=given.ledger) as made:
        report = run(made, seconds=given.seconds, seed=given.seed, only=given.only)
    print(report)
    failed = bool(report.violations) != bool(given.plant)
    if not failed:
        shutil.rmtree(folder)  # otherwise it is needed to find out why
    sys.exit(failed)


if __name__ == "__main__":
    main()
