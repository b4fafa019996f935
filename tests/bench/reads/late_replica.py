"""What writes and reads of one's own writes cost while the replica is late, against ``wait="none"``.

Replay is paused. Once the first wait has run out, the two sides take turns of two seconds: each of the threads writes
and reads its write back, in a session of its own each time. Without waiting, a read finds the write for certain only on
the primary, so the other side asks for that. Then replay is resumed, and the next writes show when they wait again.

Bias: the reads of both sides cross to the primary, so that what is compared is only what fly_orm does about the wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter, sleep
from typing import Any

import fly_orm
from tests.support.tables import Table

from ..duration import seconds
from ..report import ms, percentile
from ..world import World, model

RTT, THREADS, TIMEOUT = 0.02, 32, 1.0
SECONDS, TURN = seconds(60), 2.0
AIM = 1.2

Reads = Callable[[], AbstractContextManager[object]]


@dataclass(kw_only=True)
class _Side:
    """What one side has done so far. Its threads add to it."""

    name: str
    row: Any
    reads: Reads
    seconds: float = 0.0
    writes: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    stale: int = 0

    def turn(self, pool: ThreadPoolExecutor, seconds: float) -> None:
        """Let all threads write and read for so many seconds."""
        end = perf_counter() + seconds
        list(pool.map(lambda _: self._work(end), range(THREADS)))
        self.seconds += seconds

    def _work(self, end: float) -> None:
        database = self.row._meta.database
        with database.connection_context():
            while True:
                with fly_orm.session():
                    self._write_and_read()
                if perf_counter() >= end:
                    break

    def _write_and_read(self) -> None:
        started = perf_counter()
        key = self.row.create(name="late", number=0).id
        self.writes.append(perf_counter() - started)
        self.waits.append(fly_orm.why().wait)
        with self.reads():
            self.stale += self.row.get_or_none(self.row.id == key) is None

    @property
    def rate(self) -> float:
        """Writes per second."""
        return len(self.writes) / self.seconds

    @property
    def p99(self) -> float:
        """The time that a write takes at most, in 99 of 100 cases."""
        return percentile(self.writes, 99)


def run(world: World) -> Table:
    """Both sides by turns during the pause, and then the return to waiting."""
    with world.apart(RTT), world.lax(replication_timeout=TIMEOUT) as eager, world.lax(wait="none") as none:
        ours = _Side(name="fly_orm", row=model(eager), reads=nullcontext)
        floor = _Side(name='wait="none", reads on the primary', row=model(none), reads=fly_orm.primary)
        with ThreadPoolExecutor(THREADS) as pool:
            for side in (ours, floor):
                _once(side, pool)  # opens connections and channels
            with _paused(world):
                first = _once(ours, pool)
                for _ in range(max(1, round(SECONDS / TURN / 2))):
                    for side in (ours, floor):
                        side.turn(pool, TURN)
            again = _seconds_until_it_waits(ours)
    slower, longer = floor.rate / ours.rate, ours.p99 / floor.p99
    return Table(
        title=(
            f"insert and read of it, {THREADS} threads, {RTT * 1000:.0f} ms round trip, through a pause of the "
            f"replica of {SECONDS:.0f} s"
        ),
        headings=("", "writes/s", "p50 ms", "p99 ms", "waited longest ms", "stale reads"),
        rows=[
            (each.name, f"{each.rate:.0f}", ms(median(each.writes)), ms(each.p99), ms(max(each.waits)), each.stale)
            for each in (ours, floor)
        ],
        result=(
            f"the first wait took {first:.2f} s; after it {slower:.2f} × the time for each write, p99 {longer:.2f} × "
            f"(aim: at most {AIM}, {'met' if max(slower, longer) <= AIM else 'missed'}); waiting again {again:.2f} s "
            "after the replica had caught up"
        ),
    )


def _once(side: _Side, pool: ThreadPoolExecutor) -> float:
    """Let each thread write once, uncounted; returns the longest wait."""
    before = _Side(name=side.name, row=side.row, reads=side.reads)
    before.turn(pool, 0.0)
    return max(before.waits)


@contextmanager
def _paused(world: World) -> Iterator[None]:
    world.backstage.pause()
    try:
        yield
    finally:
        world.backstage.resume()


def _seconds_until_it_waits(side: _Side) -> float:
    """Seconds until a write is found on the replica when it returns, and its read stays there."""
    started = perf_counter()
    with side.row._meta.database.connection_context():
        while True:
            with fly_orm.session():
                side._write_and_read()
                if fly_orm.why().route is fly_orm.Route.LOCAL:
                    return perf_counter() - started
            sleep(0.005)
