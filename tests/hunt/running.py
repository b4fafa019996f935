"""A hunt: users in several processes, and trouble, for some time."""

from __future__ import annotations

import os
import queue
import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import patch

from fly_orm.deadline import Deadline, now

from .gate import Gate
from .hunters import THREADS, Found, hunt
from .trouble import Event, Trouble
from .user import Stale, User
from .world import World

PROCESSES = 2
USERS = 2 * PROCESSES * THREADS


@dataclass(kw_only=True)
class Bag:
    """What a hunt has found."""

    started: float = field(default_factory=now)
    stale: list[Stale] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    lost: int = 0
    """Failovers that have lost acknowledged writes."""
    found: Found = field(default_factory=Found)

    @property
    def reads(self) -> int:
        return self.found.counts["reads"]

    @property
    def local(self) -> int:
        """Those that a replica has served."""
        return self.found.counts["local reads"]

    def add(self, found: Found) -> None:
        """Add what one process has found."""
        self.found.counts += found.counts
        self.found.errors += found.errors
        self.found.broken += found.broken

    def __str__(self) -> str:
        kinds = Counter(event.kind for event in self.events)
        lines = [
            f"{len(self.stale)} stale reads of {self.reads}, {self.local / max(self.reads, 1):.0%} of them local",
            ", ".join(f"{number} × {kind}" for kind, number in sorted(kinds.items())) + f", {self.lost} lost writes",
            ", ".join(f"{number} {what}" for what, number in sorted(self.found.counts.items())),
            *(f"{number:6} × {error}" for error, number in self.found.errors.most_common(20)),
            *(f"at {each.at - self.started:.1f} s, {each}\n{self._before(each)}" for each in self.stale[:20]),
            *self.found.broken[:5],
        ]
        return "\n".join(lines)

    def _before(self, stale: Stale) -> str:
        """What had happened to the servers shortly before a stale read."""
        events = [event for event in self.events if stale.at - 10 < event.at <= stale.at]
        return "".join(f"    {event.at - stale.at:.2f} s: {event.kind} {event.server}\n" for event in events)


def run(world: World, *, seconds: float, seed: int, plants: Sequence[str] = ()) -> Bag:
    """Hunt for so many seconds; with faults planted, until something is found."""
    context = get_context("spawn")
    users, stale, results = context.Queue(), context.Queue(), context.Queue()
    ready, over = context.Barrier(PROCESSES + 1), context.Event()
    bag = Bag()
    for number in range(USERS):
        users.put(User(number=number, dice=random.Random(f"{seed}.{number}")))
    with tempfile.TemporaryDirectory() as name:
        arguments = (Path(name), list(plants), users, stale, ready, over, results)
        processes = [context.Process(target=hunt, args=arguments) for _ in range(PROCESSES)]
        with patch.dict(os.environ, world.environment):  # or the module that reads it could be imported before
            for process in processes:
                process.start()
        gate = Gate(Path(name))
        trouble = Trouble(world, gate, seed)
        try:
            ready.wait(60)
            trouble.make(Deadline.after(seconds), lambda: bool(plants) and not stale.empty())
        finally:
            over.set()
            for _ in processes:
                bag.add(results.get(timeout=60))
            while any(process.is_alive() for process in processes) or not stale.empty():
                with suppress(queue.Empty):
                    bag.stale.append(stale.get(timeout=0.1))  # a process ends only when this is taken
            gate.close()
    bag.events, bag.lost = trouble.events, trouble.lost
    return bag
