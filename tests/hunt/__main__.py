"""Hunts for stale reads, and prints what was found; exits with 1 if a read was stale, or a planted fault not found."""

from __future__ import annotations

import argparse
import os
import signal
import sys

from .other_shops import ORM, SHOPS
from .plants import PLANTS
from .running import run
from .world import world


def main() -> None:
    """Hunt."""
    parser = argparse.ArgumentParser(prog="python -m tests.hunt", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plant", action="append", choices=PLANTS, default=[], help="a fault that is to be found")
    parser.add_argument("--orm", choices=SHOPS, help="through this library, in place of peewee and Pony")
    parser.add_argument("--silent", action="store_true", help="servers that do not tell their timeline; no failovers")
    given = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))  # which stops what was started
    if given.orm:
        os.environ[ORM] = given.orm
    with world(tells=not given.silent) as servers:
        bag = run(servers, seconds=given.seconds, seed=given.seed, plants=given.plant)
    print(bag)
    sys.exit(bool(bag.stale) != bool(given.plant) or bool(bag.found.broken))


if __name__ == "__main__":
    main()
