"""The application whose reads are hunted: counters that only grow, used through each ORM. Nodes serve it as well."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from playhouse.db_url import connect, parse
from pony import orm

import fly_orm
from fly_orm.deadline import Deadline

#: The variable that says where a process finds the server of its region.
URL = "HUNT_URL"
KEYS = 4
TABLE = "CREATE TABLE counter (key int PRIMARY KEY, epoch int NOT NULL DEFAULT 0, value int NOT NULL DEFAULT 0)"
COUNTERS = f"INSERT INTO counter SELECT key FROM generate_series(0, {KEYS - 1}) key"
#: A failover that loses writes begins another epoch, in which counters may be lower again.
NEXT_EPOCH = "UPDATE counter SET epoch = epoch + 1"

LOOK = "SELECT epoch, value FROM counter WHERE key = %s"
GROW = "UPDATE counter SET value = value + 1 WHERE key = %s RETURNING epoch, value"

#: What a counter shows. Of two of them, the smaller one is older.
Shown = tuple[int, int]

db: Any = fly_orm.wrap(connect(os.environ[URL])) if URL in os.environ else None


@fly_orm.on_primary
def grow_there(keys: list[int]) -> list[Shown]:
    """Write several counters, and tell what they show now."""
    with db.atomic():
        return [db.execute_sql(GROW, (key,)).fetchone() for key in keys]


@fly_orm.on_primary
def look_there(key: int) -> Shown:
    """Only read."""
    return db.execute_sql(LOOK, (key,)).fetchone()  # type: ignore[no-any-return]


class Peewee:
    """The counters through a peewee database."""

    def __init__(self, database: Any) -> None:
        self._db = database
        self.name = type(database).__name__

    @contextmanager
    def open(self) -> Iterator[None]:
        try:
            yield  # the first statement connects
        finally:
            self.leave()

    def leave(self) -> None:
        """Close the connection, or give it back: the next one may reach another server."""
        self._db.close()

    def look(self, key: int) -> Shown:
        return self._db.execute_sql(LOOK, (key,)).fetchone()  # type: ignore[no-any-return]

    def grow(self, key: int) -> Shown:
        return self._db.execute_sql(GROW, (key,)).fetchone()  # type: ignore[no-any-return]

    def transact(self, keys: Sequence[int], saw: Callable[[int, Shown], None], *, undo: bool) -> dict[int, Shown]:
        """Read and write counters in a transaction; returns what was committed."""
        with self._db.atomic() as transaction:
            for key in keys:
                saw(key, self.look(key))
            grown = {key: self.grow(key) for key in keys}
            if undo:
                transaction.rollback()
        return {} if undo else grown

    def snapshot(self, keys: Sequence[int]) -> dict[int, Shown]:
        """Read counters in a read-only transaction."""
        with self._db.atomic("REPEATABLE READ READ ONLY"):
            return {key: self.look(key) for key in keys}


class Pony:
    """The counters through a Pony database."""

    name = "Pony"

    def __init__(self, url: str) -> None:
        self._db = orm.Database()
        given = parse(url)
        self._db.bind("postgres", **given)

        class Counter(self._db.Entity):  # type: ignore[misc, name-defined]
            _table_ = "counter"
            key = orm.PrimaryKey(int)
            epoch = orm.Required(int)
            value = orm.Required(int)

        self._counter = Counter
        fly_orm.wrap(self._db)
        self._db.generate_mapping()

    @contextmanager
    def open(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.leave()

    def leave(self) -> None:
        orm.rollback()
        self._db.disconnect()

    def look(self, key: int) -> Shown:
        with orm.db_session:
            counter = self._counter[key]
            return counter.epoch, counter.value

    def grow(self, key: int) -> Shown:
        with orm.db_session:
            counter = self._counter.get_for_update(key=key)
            counter.value += 1
            return counter.epoch, counter.value

    def transact(self, keys: Sequence[int], saw: Callable[[int, Shown], None], *, undo: bool) -> dict[int, Shown]:
        """Read on the replica, and then write what was read, unless an optimistic check finds it old."""
        with orm.db_session:
            grown = {}
            for key in keys:
                counter = self._counter[key]
                saw(key, (counter.epoch, counter.value))
                counter.value += 1
                grown[key] = counter.epoch, counter.value
            if undo:
                orm.rollback()
        return {} if undo else grown

    def snapshot(self, keys: Sequence[int]) -> dict[int, Shown]:
        with orm.db_session:
            counters = self._counter.select(lambda counter: counter.key in keys)[:]
            return {counter.key: (counter.epoch, counter.value) for counter in counters}


def shops() -> list[Any]:
    """One for each ORM, all over the address that the environment names."""
    url = os.environ[URL]
    pooled = fly_orm.wrap(connect(url.replace("://", "+pool://", 1), max_connections=100))
    return [Peewee(db), Peewee(pooled), Pony(url)]


def is_late_on_the_primary(shop: Any, key: int, seen: Shown) -> bool:
    """Whether the primary shows at once what a replica has shown, if it does not yet.

    Postgres flushes a commit, which replicas then replay, an instant before the primary itself shows it.
    """
    last = Deadline.after(1)
    with fly_orm.primary():
        while not last.expired:
            if shop.look(key) >= seen:
                return True
    return False
