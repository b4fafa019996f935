"""Runs the benchmarks, or those named on the command line, and prints their tables."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from time import perf_counter

from . import report
from .catalogue import MODULES, USUAL, summary
from .publishing import pages
from .publishing.drawing import draw
from .publishing.stored import Stored, measured_version, stored
from .running import Ran, Runner, quickly


def main() -> int:
    """Measure and print; 1 if a benchmark failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="which ones; those that take minutes run only by name")
    parser.add_argument("--quick", action="store_true", help="rough figures, within seconds each")
    parser.add_argument("--save", action="store_true", help="store the figures, draw the plots and write the pages")
    parser.add_argument("--write-docs", action="store_true", help="draw and write what is stored, without measuring")
    parser.add_argument("--list", action="store_true", help="say what each of them measures")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(MODULES):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(MODULES)}")
    if chosen.list:
        for name in MODULES:
            print(f"{name:18} {'' if name in USUAL else '(only by name) '}{summary(name)}")
        return 0
    if chosen.write_docs:
        write_docs()
        return 0
    stop_on_signals()
    return measure(chosen.names or USUAL, quick=chosen.quick, save=chosen.save)


def measure(names: list[str] | tuple[str, ...], *, quick: bool, save: bool) -> int:
    """Run each of them, whatever becomes of the others; 1 if one failed."""
    if quick:
        quickly()
    failed, started, version = [], perf_counter(), measured_version()
    with _written(save), Runner() as runner:
        postgres = runner.world.reach["version"]
        print(report.machine(postgres), flush=True)
        for name in names:
            ran = runner.run(name)
            print(f"\n[{name}, {ran.seconds:.0f} s]\n{ran.report or f'FAILED: {ran.problem}'}", flush=True)
            if ran.report is None:
                failed.append(name)
            elif save:
                _store(ran, report.hardware(postgres), quick=quick, version=version)
    print(f"\n{len(names)} benchmarks in {perf_counter() - started:.0f} s; failed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


@contextmanager
def _written(save: bool) -> Iterator[None]:
    """After the block, the pages show what was stored in it, even if it was interrupted."""
    try:
        yield
    finally:
        if save:
            write_docs()


def _store(ran: Ran, machine: str, *, quick: bool, version: str) -> None:
    assert ran.report
    Stored(
        name=ran.name,
        machine=machine,
        load=round(ran.load, 2),
        day=date.today(),
        version=version,
        quick=quick,
        seconds=round(ran.seconds, 1),
        report=ran.report,
    ).write()


def write_docs() -> None:
    """Draw the plots and write the pages anew from what is stored."""
    found = stored(MODULES)
    for each in found.values():
        for plot in each.report.plots:
            draw(plot)
    pages.write(found)


def stop_on_signals() -> None:
    """Let SIGINT and SIGTERM unwind the stack, which stops what was started."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))


if __name__ == "__main__":
    sys.exit(main())
