"""What happens to the servers while users read and write."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from time import sleep
from typing import Any, NamedTuple

import psycopg2

from fly_orm.deadline import Deadline, now
from fly_orm.testing import Server
from tests.support.servers import crash_backend, crash_replica, follow_at_once

from .gate import Gate
from .shop import NEXT_EPOCH
from .world import World


class Event(NamedTuple):
    """Something that was done to a server, and when, on the monotonic clock."""

    at: float
    kind: str
    server: str


class Trouble:
    """Makes trouble at random; the same seed makes the same trouble."""

    def __init__(self, world: World, gate: Gate, seed: int) -> None:
        self.events: list[Event] = []
        self.lost = 0
        """Counters that a failover has set back."""
        self._world = world
        self._gate = gate
        self._last: Server | None = None
        """The replica that follows the other one, if one does."""
        self._dice = random.Random(seed)
        self._seed = seed

    def make(self, deadline: Deadline, over: Callable[[], bool]) -> None:
        """Make trouble until the time is over, but each kind of it at least once, unless something else is over."""
        every, kinds = False, [kind for kind in KINDS if self._world.tells or kind[0] not in FAILOVERS]
        with self._pauses():
            while True:
                for kind, act in self._dice.sample(kinds, len(kinds)):
                    if over() or (every and deadline.expired):
                        return
                    sleep(self._dice.uniform(0.2, 1.5))
                    act(self)
                    self._world.wait_until_streaming()
                    assert any(event.kind == kind for event in self.events)
                every = True

    # Servers that crash

    def restart_replica(self) -> None:
        server = self._dice.choice(self._world.replicas)
        self._note("restart replica", server)
        server.restart(self._dice.choice(["fast", "immediate"]))

    def crash_replica(self) -> None:
        """It comes back with less than it had, and takes a while to replay the rest."""
        server = self._dice.choice(self._world.replicas)
        self._note("crash replica", server)
        crash_replica(server, lambda: self._idle(1.0))

    def crash_backend(self) -> None:
        """The postmaster ends all connections, recovers the server, and goes on."""
        server = self._dice.choice(self._world.servers)
        self._note("crash backend", server)
        crash_backend(server)

    def crash_primary(self) -> None:
        self._note("crash primary", self._world.primary)
        self._world.primary.kill()
        self._idle(0.5)
        self._world.primary.start()

    # Failovers

    def cascade(self) -> None:
        """Let one replica follow the other one, until there is another primary."""
        self._last, source = self._dice.sample(self._world.replicas, 2)
        self._note("cascade", self._last)
        follow_at_once(source, self._world.primary)
        follow_at_once(self._last, source)
        self._idle(1.0)

    def fail_over(self) -> None:
        """Stop the primary in order, which sends everything to its replicas before, and promote one of them."""
        world, old = self._world, self._world.primary
        new, other = self._two_replicas()
        self._note("fail over", new)
        old.stop()
        self._promote(new)
        self._idle(0.3)
        if self._dice.randrange(2):
            world.cluster.follow(other, new)
        else:
            follow_at_once(other, new)
        self._lead_away()
        world.cluster.follow(old, new)
        self._last = None
        self._lead_away()

    def lose(self) -> None:
        """Promote a replica that lacks the last writes, which are lost; the old primary has crashed."""
        self._lose("lose", Server.kill)

    def split(self) -> None:
        """The same while the old primary is alive, and takes writes of those who do not know the new one yet."""
        self._lose("split", lambda _: None)

    def _lose(self, kind: str, end: Callable[[Server], None]) -> None:
        world, old = self._world, self._world.primary
        new, other = self._two_replicas()
        self._note(kind, new)
        follow_at_once(new, None)
        self._idle(0.4)
        with self._gate.held():
            before = world.query("SELECT sum(value) FROM counter")
            end(old)
            self._promote(new)
            self.lost += before != world.query("SELECT sum(value) FROM counter")
            world.query(NEXT_EPOCH)
        self._lead_away(old)
        self._idle(1.0)  # while others still show what was lost
        world.cluster.rebuild(other, new)
        world.cluster.rebuild(old, new)
        self._last = None
        self._lead_away()

    def _two_replicas(self) -> list[Server]:
        """One to promote, which follows the primary itself, and the other one."""
        replicas = self._dice.sample(self._world.replicas, 2)
        return sorted(replicas, key=lambda server: server is self._last)

    def _promote(self, server: Server) -> None:
        self._world.promote(server)
        self._note("promoted", server)

    def _lead_away(self, superseded: Server | None = None) -> None:
        """Let the address lead to the replicas, or to the new primary, too."""
        world = self._world
        followers = [server for server in world.replicas if server is not superseded]
        world.address.lead_to(followers + [world.primary] * (self._dice.randrange(3) == 0))

    # Replicas that are late

    @contextmanager
    def _pauses(self) -> Iterator[None]:
        over = threading.Event()
        threads = [threading.Thread(target=self._pause, args=(server, over)) for server in self._world.servers]
        with ExitStack() as stack:
            for thread in threads:
                thread.start()
                stack.callback(thread.join)
            stack.callback(over.set)
            yield

    def _pause(self, server: Server, over: threading.Event) -> None:
        dice = random.Random(f"{self._seed} {server.name}")
        while not over.wait(dice.uniform(0, 0.3)):
            with suppress(psycopg2.Error):
                server.query("SELECT pg_wal_replay_pause() WHERE pg_is_in_recovery()")
            over.wait(dice.uniform(0, 0.3))
            with suppress(psycopg2.Error):
                server.query("SELECT pg_wal_replay_resume() WHERE pg_is_in_recovery()")

    def _idle(self, seconds: float) -> None:
        sleep(self._dice.uniform(0, seconds))

    def _note(self, kind: str, server: Server) -> None:
        self.events.append(Event(now(), kind, server.name))


#: What is made, by name.
KINDS: list[tuple[str, Callable[[Trouble], Any]]] = [
    ("restart replica", Trouble.restart_replica),
    ("crash replica", Trouble.crash_replica),
    ("crash backend", Trouble.crash_backend),
    ("crash primary", Trouble.crash_primary),
    ("cascade", Trouble.cascade),
    ("fail over", Trouble.fail_over),
    ("lose", Trouble.lose),
    ("split", Trouble.split),
]
#: Those after which it takes a server's timeline to know what it shows.
FAILOVERS = frozenset({"fail over", "lose", "split"})
