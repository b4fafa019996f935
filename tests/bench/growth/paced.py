"""Client processes that write at random moments, so many times a second, as long as they are let."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from time import process_time
from typing import Any

import fly_orm
from fly_orm.deadline import Deadline

from ..writes.clients import END_TIMEOUT, TIMEOUT
from ..writes.ways import Opens, Place, Write, through_peewee

#: Processes that start at the same time.
AT_ONCE = 2


@dataclass(frozen=True, kw_only=True)
class Wrote:
    """What a process has done since it was last asked."""

    writes: int
    processor: float


class Paced:
    """Running processes."""

    def __init__(self, members: list[tuple[Any, Any]]) -> None:
        self._members = members

    def wrote(self) -> Wrote:
        """What they have done, together, since this was last called."""
        parts = []
        for _, ours in self._members:
            ours.send(None)
        for _, ours in self._members:
            if not ours.poll(TIMEOUT):
                raise TimeoutError(f"a client process said nothing for {TIMEOUT:g} s")
            parts.append(ours.recv())
        return Wrote(writes=sum(part.writes for part in parts), processor=sum(part.processor for part in parts))


@contextmanager
def paced(place: Place, *, processes: int, threads: int, rate: float) -> Iterator[Paced]:
    """So many processes, each of which has begun to write ``rate`` times a second, on all of its threads together."""
    context, members = get_context("spawn"), []
    running = Paced(members)
    try:
        for number in range(processes):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, place, threads, rate, number), daemon=True)
            process.start()
            theirs.close()
            members.append((process, ours))
            if len(members) % AT_ONCE == 0:
                running.wrote()  # or they would be in each other's way so much that handshakes time out
        running.wrote()
        yield running
    finally:
        for process, ours in members:
            ours.close()
            process.join(END_TIMEOUT)
            process.kill()


def _serve(ours: Any, place: Place, threads: int, rate: float, seed: int) -> None:
    over, counts = threading.Event(), [0] * threads
    with through_peewee()(place) as opens, suppress(EOFError, OSError):
        with opens() as write:
            begin(write)
        ready = threading.Barrier(threads + 1)
        dice = [random.Random(f"{seed} {number}") for number in range(threads)]
        running = [
            threading.Thread(target=_write, args=(opens, ready, over, counts, number, dice[number], threads / rate))
            for number in range(threads)
        ]
        for each in running:
            each.start()
        try:
            ready.wait(TIMEOUT)
            told, spent = 0, process_time()
            while True:
                ours.recv()
                writes, now = sum(counts), process_time()
                ours.send(Wrote(writes=writes - told, processor=now - spent))
                told, spent = writes, now
        finally:
            over.set()
            for each in running:
                each.join()


def begin(write: Write) -> None:
    """Write once. On a machine that is too busy, handshakes time out at first."""
    limit = Deadline.after(TIMEOUT)
    while True:
        try:
            write()
        except fly_orm.FlyOrmError:
            if limit.expired:
                raise
        else:
            return


def _write(
    opens: Opens, ready: Any, over: threading.Event, counts: list[int], number: int, dice: random.Random, pause: float
) -> None:
    with opens() as write:
        begin(write)
        ready.wait(TIMEOUT)
        while not over.wait(dice.expovariate(1 / pause)):
            with suppress(fly_orm.FlyOrmError):  # fewer writes than are due show it
                write()
                counts[number] += 1
