"""Runs the demo: a visitor in lax, and the same app without fly_orm for comparison.

Exits with 0 if every read saw its write and a violated constraint was reported correctly, and with 1 otherwise.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fly_orm import ConfigurationError

from . import wording
from .plain import PlainScreen
from .process import ProcessFailed
from .results import Compared, Verdict, Worked, compare, judge
from .stage import Stage, Visitor, two_regions
from .step import Step

#: Round-trip time between the regions, in seconds.
RTT = 0.08
ROUNDS = 4
#: Seconds after which the demo gives up.
TIME_LIMIT = 90


def main() -> int:
    """Run the demo and return its exit code."""
    _exit_on_signals()
    sys.stdout.reconfigure(errors="replace")  # an ASCII terminal cannot show ✓ and ✗
    try:
        return _run(_screen())
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes stdout again at exit
        return 1
    except (ConfigurationError, ProcessFailed) as error:
        print(f"The demo failed: {error}", file=sys.stderr)
        return 1


def _run(screen: Any) -> int:
    screen.title(f"fly_orm in two regions, {RTT * 1000:.0f} ms apart, on a real primary and a real replica")
    with two_regions(RTT) as stage:
        screen.say(wording.introduction(stage))
        return show(stage, screen).exit_code


def show(stage: Stage, screen: Any) -> Verdict:
    """Play all scripts, show their results, and return the verdict."""
    for _ in stage.lax.play("prepare"):
        pass
    steps = screen.tour(itertools.chain(stage.lax.play("tour"), stage.lax.play("with_pony")))
    results: list[Compared] = []
    screen.comparison(_rounds(stage, steps, results))
    screen.say(wording.conclusion(results))
    work: list[Worked] = []
    screen.hard_work(_hard_work(stage, steps, work))
    screen.say(wording.lesson(work))
    verdict = judge(steps)
    screen.verdict(str(verdict), ok=verdict.ok)
    return verdict


def _rounds(stage: Stage, steps: list[Step], results: list[Compared]) -> Iterator[list[Compared]]:
    """Play the same operations from lax and straight to the primary, in turn; yields the medians after each round."""
    lax: list[Step] = []
    direct: list[Step] = []
    for _ in range(ROUNDS):
        lax += stage.lax.play("compare")
        direct += stage.direct.play("compare")
        results[:] = compare(lax, direct)
        yield results
    steps += lax


def _hard_work(stage: Stage, steps: list[Step], work: list[Worked]) -> Iterator[Worked]:
    """Do the same work in both slow ways at once, by two visitors, and then in a function."""

    def do(visitor: Visitor, script: str) -> Worked:
        before = visitor.round_trips
        taken = list(visitor.play(script))
        steps.extend(taken)
        signing_up = 1
        trips = visitor.round_trips - before - signing_up
        worked = Worked(way=script, seconds=taken[0].seconds, round_trips=trips)
        work.append(worked)
        return worked

    for visitor in (stage.lax, stage.another):
        list(visitor.play("arrive"))
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(do, stage.lax, "each"), pool.submit(do, stage.another, "transaction")
        yield from (done.result() for done in slow)
    yield do(stage.lax, "function")


def _screen() -> Any:
    if not sys.stdout.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return PlainScreen()
    try:
        from .live import LiveScreen
    except ModuleNotFoundError as error:
        print(f"{error.name} is not installed, so this is plain text; pip install 'rich>=13' adds live tables.\n")
        return PlainScreen()
    return LiveScreen()


def _exit_on_signals() -> None:
    """Turn signals into SystemExit, so that the demo stops every process that it started."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, _stop)
    signal.alarm(TIME_LIMIT)


def _stop(number: int, _frame: object) -> None:
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(each, signal.SIG_IGN)  # a second signal must not interrupt the clean-up
    if number == signal.SIGALRM:
        print(f"The demo failed: it did not finish within {TIME_LIMIT} s", file=sys.stderr)
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
