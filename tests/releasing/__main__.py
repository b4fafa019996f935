"""``make dist`` and ``make versions``: builds the distributions, and runs their tests on other versions."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from tests.releasing import postgres
from tests.releasing.archives import build
from tests.releasing.debian import NotToBeHad
from tests.releasing.environments import Environment, try_out
from tests.releasing.pythons import fetch_missing, find_pythons
from tests.releasing.requirements import oldest
from tests.releasing.subjects import EVERY, FEW, SOME, Archives, Checkout, Subject
from tests.support import ROOT
from tests.support.environments import SOURCES

Had = TypeVar("Had")


def main() -> int:
    """0 if nothing is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.releasing", description=__doc__)
    parser.add_argument(
        "what", choices=["dist", "versions"], help="dist: check all, on every Python; versions: two of them"
    )
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--all", action="store_true", help="run all quick tests, and not only some")
    amount.add_argument("--quick", action="store_true", help="run a few; versions: of this tree as it is")
    options = parser.parse_args()
    every = options.what == "dist"
    if options.quick and not every:
        return _try_out(Checkout(), FEW, every=False)
    folder = ROOT / "dist" if every else ROOT / "build/versions"
    for stale in folder.glob("fly_orm*"):
        stale.unlink()
    archives = build(folder)
    print(f"built {len(archives)} archives in {folder.relative_to(ROOT)}", flush=True)
    wrong = _check(archives) if every else 0
    tests = FEW if options.quick else EVERY if options.all else SOME
    return 1 if wrong + _try_out(Archives(archives), tests, every=every) else 0


def _try_out(subject: Subject, tests: tuple[str, ...], *, every: bool) -> int:
    """1 if a test fails in one of the environments, all of which are tried."""
    return 1 if sum(not _good(each, subject, tests) for each in _environments(every)) else 0


def _check(archives: list[Path]) -> int:
    from tests.releasing.checking import complaints  # what it needs is in the extra "release"

    found = list(complaints(archives))
    for complaint in found:
        print(complaint, flush=True)
    return len(found)


def _environments(every: bool) -> list[Environment]:
    """The oldest of everything, and the newest; with ``every``, each other Python between them."""
    if every:
        _had("a Python", fetch_missing)
    made = [Environment(version=version, python=python) for version, python in find_pythons().items()]
    servers = {version: _had(f"PostgreSQL {version}", partial(postgres.get, version)) for version in (14, 19)}
    oldest_of_all = replace(made[0], constraints=tuple(oldest(SOURCES)), postgres=servers[14])
    return [oldest_of_all, *(made[:-1] if every else ()), replace(made[-1], postgres=servers[19])]


def _had(what: str, get: Callable[[], Had]) -> Had | None:
    """What is to be had here, or None, which is said."""
    try:
        return get()
    except NotToBeHad as reason:
        print(f"{what} is left out: {reason}", flush=True)
        return None


def _good(environment: Environment, subject: Subject, tests: tuple[str, ...]) -> bool:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fly-env-", dir="/tmp") as folder:
        outcomes = _had(environment.name, partial(try_out, environment, subject, Path(folder), tests))
    if outcomes is None:
        return True
    server = "the PostgreSQL of the wheel"
    if environment.postgres:
        server = f"PostgreSQL in {environment.postgres.relative_to(ROOT)}"
    said = "; again, alone: ".join(map(str, outcomes))
    print(f"{environment.name}, {server}: {said}, {time.monotonic() - began:.0f} s", flush=True)
    for outcome in outcomes:
        if not outcome.good:
            print(outcome.output, flush=True)
    return outcomes[-1].good


if __name__ == "__main__":
    sys.exit(main())
