"""A hunt for stale reads: whatever a session does, and wherever it goes, it never sees an older value than it has seen.

A hunter goes on until its time is over and it has read enough, also here, for its finding nothing to mean something.
"""

from __future__ import annotations

import asyncio
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

import fly_orm
from fly_orm.deadline import Deadline
from fly_orm.local.progress import Progress
from fly_orm.testing import Cluster, RoundRobin
from tests.support.two_regions import settings, two_regions

pytestmark = pytest.mark.over_every_transport

KEYS, THREADS, SECONDS = 4, 6, 4.0
TABLE = "CREATE TABLE counter (key int PRIMARY KEY, value int NOT NULL)"
COUNTERS = f"INSERT INTO counter SELECT key, 0 FROM generate_series(0, {KEYS - 1}) key"


@pytest.fixture
def counters(regions):
    """Counters that only ever grow, so that a smaller value is an older one."""
    regions.query(TABLE)
    regions.query(COUNTERS)
    regions.cluster.wait_for_replica()
    return regions


@contextmanager
def troubled_replay(seed, *replicas):
    """A block during which the replay of each replica is paused and resumed at random moments."""
    over = threading.Event()

    def trouble(replica):
        dice = random.Random(f"{seed} {replica.name}")
        while not over.wait(dice.uniform(0, 0.05)):
            replica.query("SELECT pg_wal_replay_pause()")
            over.wait(dice.uniform(0, 0.15))
            replica.query("SELECT pg_wal_replay_resume()")

    with ThreadPoolExecutor(len(replicas)) as pool:
        try:
            troubles = [pool.submit(trouble, replica) for replica in replicas]
            yield
        finally:
            over.set()
            for each in troubles:
                each.result()


class Hunter:
    """One session that reads and writes at random, and remembers the newest value of each counter that it has met."""

    def __init__(self, db, seed):
        self.db = db
        self.dice = random.Random(seed)
        self.seen = [0] * KEYS
        self.reads = self.local = 0
        self.stale = []

    def step(self):
        self.dice.choice([self.read, self.read, self.read, self.write, self.write, self.put_off, self.ask, self.undo])()

    def look(self, key):
        (value,) = self.db.execute_sql("SELECT value FROM counter WHERE key = %s", (key,)).fetchone()
        served = fly_orm.why()
        self.reads += 1
        self.local += served is not None and served.route is fly_orm.Route.LOCAL  # None on the primary itself
        if value < self.seen[key] and not self.is_late_on_the_primary(key, served):
            self.stale.append((key, value, self.seen[key], served))
        self.seen[key] = max(value, self.seen[key])

    def is_late_on_the_primary(self, key, served):
        """Whether the primary shows at once what a replica has shown, if it does not yet.

        Postgres flushes a commit, which replicas then replay, an instant before the primary itself shows it.
        """
        if served is None or served.route is not fly_orm.Route.PRIMARY:
            return False
        last = Deadline.after(10)
        with fly_orm.primary():
            while not last.expired:
                (value,) = self.db.execute_sql("SELECT value FROM counter WHERE key = %s", (key,)).fetchone()
                if value >= self.seen[key]:
                    return True
        return False

    def grow(self, key):
        sql = "UPDATE counter SET value = value + 1 WHERE key = %s RETURNING value"
        return self.db.execute_sql(sql, (key,)).fetchone()[0]

    @property
    def fed(self):
        """Whether it has met enough for its finding nothing to mean something."""
        return self.reads > 20 and self.local > 10

    def key(self):
        return self.dice.randrange(KEYS)

    def read(self):
        self.look(self.key())

    def write(self):
        key = self.key()
        self.seen[key] = max(self.seen[key], self.grow(key))

    def put_off(self):
        with fly_orm.wait_for("read"):
            for _ in range(self.dice.randrange(1, 4)):
                self.write()

    def ask(self):
        with fly_orm.primary():
            self.read()

    def undo(self):
        with self.db.atomic() as transaction:
            key = self.key()
            self.look(key)
            self.grow(key)
            transaction.rollback()


def hunt_in_threads(db, seed):
    def hunt(number):
        hunter, last = Hunter(db, f"{seed}.{number}"), Deadline.after(SECONDS)
        with db.connection_context(), fly_orm.session():
            while not (last.expired and hunter.fed):
                hunter.step()
        return hunter

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(hunt, range(THREADS)))


def hunt_in_tasks(db, seed):
    """Tasks of one thread take turns on one connection, each with its own session."""

    async def hunt(number, last):
        hunter = Hunter(db, f"{seed}.{number}")
        while not (last.expired and hunter.fed):
            hunter.step()
            await asyncio.sleep(0)
        return hunter

    async def main():
        last = Deadline.after(SECONDS)
        return await asyncio.gather(*(asyncio.create_task(hunt(number, last)) for number in range(THREADS)))

    with db.connection_context():
        return asyncio.run(main())


@pytest.mark.slow
@pytest.mark.parametrize("hunt", [hunt_in_threads, hunt_in_tasks])
def test_no_session_sees_an_older_value_than_it_has_seen(counters, hunt):
    db = counters.lax(options={"replication_timeout": 0.05})
    with troubled_replay(1, counters.cluster.replica):
        hunters = hunt(db, 2)
    assert [stale for hunter in hunters for stale in hunter.stale] == []


def test_the_hunt_finds_what_there_is_to_be_found(counters):
    """Without waiting, or it would show nothing."""
    db = counters.lax(options={"wait": "none"})
    with troubled_replay(3, counters.cluster.replica), fly_orm.wait_for("none"):
        hunter, last = Hunter(db, 4), Deadline.after(100)
        hunter.put_off = hunter.write
        while not hunter.stale:
            assert not last.expired
            hunter.step()


class Restless(Hunter):
    """A session whose connections reach one replica after the other."""

    def step(self):
        if self.dice.randrange(4) == 0:
            self.db.close()
        super().step()


def hunt_restlessly(db, seed, seconds=SECONDS):
    def hunt(number):
        hunter, last = Restless(db, f"{seed}.{number}"), Deadline.after(seconds)
        with fly_orm.session():
            while not (last.expired and hunter.fed):
                hunter.step()
        db.close()
        return hunter

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(hunt, range(THREADS)))


@pytest.fixture
def reader_endpoint():
    """A database in lax whose address leads to two replicas in turn, both of them in trouble."""
    with Cluster.start() as cluster:
        second = cluster.add_replica()
        with two_regions(cluster, "postgres") as regions, RoundRobin(cluster.replica, second) as address:
            regions.query(TABLE)
            regions.query(COUNTERS)
            cluster.wait_for_replica()
            while second.query("SELECT to_regclass('counter')") is None:
                pass
            with troubled_replay(8, cluster.replica, second):
                yield regions.lax(options={"replication_timeout": 0.05}, **address.parameters)


def test_no_session_does_so_behind_an_address_of_several_replicas(reader_endpoint):
    hunters = hunt_restlessly(reader_endpoint, 9)
    assert [stale for hunter in hunters for stale in hunter.stale] == []


def test_the_hunt_there_finds_what_is_believed_of_the_wrong_server(reader_endpoint, monkeypatch):
    monkeypatch.setattr(Progress, "shows", lambda progress, position: True)
    last = Deadline.after(100)
    while not any(hunter.stale for hunter in hunt_restlessly(reader_endpoint, 10, 1.0)):
        assert not last.expired


class Traveller(Hunter):
    """One user, whose requests land in one region after the other, each with the token of the one before."""

    def __init__(self, places, seed):
        super().__init__(places[0], seed)
        self.places = places
        self.told = ""
        self.carries = True

    def request(self):
        self.db = self.dice.choice(self.places)
        with self.db.connection_context(), fly_orm.session():
            if self.carries:
                fly_orm.resume(self.told)
            for _ in range(self.dice.randrange(1, 5)):
                self.step()
            self.told = fly_orm.token()


@pytest.fixture
def places():
    """Wrapped databases in three regions, two of which have a replica that is in trouble."""
    fly_orm.configure(settings("lax"))
    with Cluster.start() as cluster:
        ams = cluster.add_replica()
        with two_regions(cluster, "postgres") as regions:
            regions.query(TABLE)
            regions.query(COUNTERS)
            cluster.wait_for_replica()
            options = {"replication_timeout": 0.05, "settings": regions.lax_settings()}
            near = [regions.on(server, options=options) for server in (cluster.replica, ams)]
            while near[1].execute_sql("SELECT to_regclass('counter')").fetchone() == (None,):
                pass
            with troubled_replay(5, cluster.replica, ams):
                yield [*near, regions.syd()]


@pytest.mark.slow
def test_no_user_who_travels_sees_an_older_value_than_they_have_seen(places):
    def hunt(number):
        traveller, last = Traveller(places, f"6.{number}"), Deadline.after(SECONDS)
        while not (last.expired and traveller.fed):
            traveller.request()
        return traveller

    with ThreadPoolExecutor(THREADS) as pool:
        travellers = list(pool.map(hunt, range(THREADS)))
    assert [stale for traveller in travellers for stale in traveller.stale] == []


@pytest.mark.slow
def test_those_who_travel_without_their_tokens_do(places):
    traveller, last = Traveller(places, 7), Deadline.after(100)
    traveller.carries = False
    while not traveller.stale:
        assert not last.expired
        traveller.request()
