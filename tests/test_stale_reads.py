"""A hunt for stale reads: whatever a session does, it never sees an older value than it has seen."""

from __future__ import annotations

import asyncio
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

import fly_orm
from fly_orm.deadline import Deadline

pytestmark = pytest.mark.over_every_transport

KEYS, THREADS, SECONDS = 4, 6, 4.0


@pytest.fixture
def counters(regions):
    """Counters that only ever grow, so that a smaller value is an older one."""
    regions.query("CREATE TABLE counter (key int PRIMARY KEY, value int NOT NULL)")
    regions.query(f"INSERT INTO counter SELECT key, 0 FROM generate_series(0, {KEYS - 1}) key")
    regions.cluster.wait_for_replica()
    return regions


@contextmanager
def troubled_replay(cluster, seed):
    """A block during which replay is paused and resumed at random moments."""
    over, dice = threading.Event(), random.Random(seed)

    def trouble():
        while not over.wait(dice.uniform(0, 0.05)):
            cluster.pause_replay()
            over.wait(dice.uniform(0, 0.15))
            cluster.resume_replay()

    thread = threading.Thread(target=trouble)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        cluster.resume_replay()


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
        self.local += served.route is fly_orm.Route.LOCAL
        if value < self.seen[key]:
            self.stale.append((key, value, self.seen[key], served))
        self.seen[key] = max(value, self.seen[key])

    def grow(self, key):
        sql = "UPDATE counter SET value = value + 1 WHERE key = %s RETURNING value"
        return self.db.execute_sql(sql, (key,)).fetchone()[0]

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
            while not last.expired:
                hunter.step()
        return hunter

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(hunt, range(THREADS)))


def hunt_in_tasks(db, seed):
    """Tasks of one thread take turns on one connection, each with its own session."""

    async def hunt(number, last):
        hunter = Hunter(db, f"{seed}.{number}")
        while not last.expired:
            hunter.step()
            await asyncio.sleep(0)
        return hunter

    async def main():
        last = Deadline.after(SECONDS)
        return await asyncio.gather(*(asyncio.create_task(hunt(number, last)) for number in range(THREADS)))

    with db.connection_context():
        return asyncio.run(main())


@pytest.mark.parametrize("hunt", [hunt_in_threads, hunt_in_tasks])
def test_no_session_sees_an_older_value_than_it_has_seen(counters, hunt):
    db = counters.lax(options={"replication_timeout": 0.05})
    with troubled_replay(counters.cluster, 1):
        hunters = hunt(db, 2)
    assert [stale for hunter in hunters for stale in hunter.stale] == []
    assert all(hunter.reads > 20 for hunter in hunters)
    assert sum(hunter.local for hunter in hunters) > 50


def test_the_hunt_finds_what_there_is_to_be_found(counters):
    """Without waiting, or it would show nothing."""
    db = counters.lax(options={"wait": "none"})
    with troubled_replay(counters.cluster, 3), fly_orm.wait_for("none"):
        hunter, last = Hunter(db, 4), Deadline.after(20)
        hunter.put_off = hunter.write
        while not hunter.stale:
            assert not last.expired
            hunter.step()
