"""Ways of writing one row, over the same servers. All but "direct" return when the local replica shows the row.

Those by hand ask for the position in the same round trip as the insert, and look at the replica at once, so that none
of them is slower than its algorithm has to be. The one of fly_postgres has each writer look for itself; there, one
statement looks for all who wait, and so is in the midst of a sleep when a write comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from time import sleep
from typing import Any

import peewee
import psycopg2
from pony import orm

import fly_orm
from tests.support.pony_regions import close as close_pony
from tests.support.two_regions import close

from ..world import World, lax_settings, model

#: Seconds between two looks at the replica, by hand.
POLL = 0.002
#: Connections of a pool: as many as a node has.
POOL = 10
#: On the replica: returns when the position is replayed, and looks every 50 ms.
WAIT_FOR_REPLAY = """
    CREATE OR REPLACE FUNCTION wait_for_replay(target pg_lsn) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
        FOR i IN 1..600 LOOP
            IF pg_last_wal_replay_lsn() >= target THEN RETURN; END IF;
            PERFORM pg_sleep(0.05);
        END LOOP;
        RAISE '% is not replayed', target;
    END $$"""
_INSERT = "INSERT INTO row (name, number) VALUES ('by hand', 1) RETURNING id"
_POSITION = f"BEGIN; {_INSERT}; COMMIT; SELECT currval('row_id_seq'), {{}}::text"
_FLUSHED, _INSERTED = (_POSITION.format(f"pg_current_wal_{which}_lsn()") for which in ("flush", "insert"))

#: Writes a row, and returns its id.
Write = Callable[[], int]
#: Opens what one thread needs to write.
Opens = Callable[[], AbstractContextManager[Write]]


@dataclass(frozen=True, kw_only=True)
class Place:
    """How a process in lax reaches the primary, its replica, the node and a pooler at the primary."""

    primary: Mapping[str, Any]
    replica: Mapping[str, Any]
    node: str
    pooler: Mapping[str, Any] | None = None

    @classmethod
    def far(cls, world: World) -> Place:
        """Over the networks that make regions far apart."""
        return cls(primary=world.reach["direct"], replica=world.reach["replica"], node=world.reach["rpc"])

    @classmethod
    def near(cls, world: World, pooler: Mapping[str, Any] | None = None) -> Place:
        """Without these networks, which are processes that take time of the same cores."""
        reach = world.reach
        return cls(primary=reach["primary"], replica=reach["replica"], node=reach["node"], pooler=pooler)


Way = Callable[[Place], AbstractContextManager[Opens]]


def connect(parameters: Mapping[str, Any]) -> Any:
    """A connection in autocommit mode."""
    connection = psycopg2.connect(**parameters)
    connection.autocommit = True
    return connection


@contextmanager
def direct(place: Place) -> Iterator[Opens]:
    """Straight to the primary, and no look at the replica."""
    yield lambda: _writing_to(place.primary)


@contextmanager
def pooled(place: Place) -> Iterator[Opens]:
    """The same over connections that the threads of a process share."""
    pool: SimpleQueue[Any] = SimpleQueue()
    made = [connect(place.primary) for _ in range(POOL)]
    for each in made:
        pool.put(each)

    def write() -> int:
        connection = pool.get()
        try:
            return _insert(connection)
        finally:
            pool.put(connection)

    @contextmanager
    def opens() -> Iterator[Write]:
        yield write

    yield opens
    for each in made:
        each.close()


@contextmanager
def pooler(place: Place) -> Iterator[Opens]:
    """The same through PgBouncer, in transaction mode, with a connection of each thread to it."""
    assert place.pooler
    to = place.pooler
    yield lambda: _writing_to(to)


@contextmanager
def _writing_to(parameters: Mapping[str, Any]) -> Iterator[Write]:
    with closing(connect(parameters)) as connection:
        yield lambda: _insert(connection)


def _insert(connection: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_INSERT)
        made: int = cursor.fetchone()[0]
    return made


def _by_hand(insert: str, wait: Callable[[Any, int, str], None]) -> Way:
    @contextmanager
    def way(place: Place) -> Iterator[Opens]:
        @contextmanager
        def opens() -> Iterator[Write]:
            with closing(connect(place.primary)) as primary, closing(connect(place.replica)) as replica:
                there, here = primary.cursor(), replica.cursor()

                def write() -> int:
                    there.execute(insert)
                    made, lsn = there.fetchone()
                    wait(here, made, lsn)
                    return int(made)

                yield write

        yield opens

    return way


def _until_shown(here: Any, made: int, _lsn: str) -> None:
    while True:
        here.execute("SELECT 1 FROM row WHERE id = %s", (made,))
        if here.fetchone():
            return


def _until_replayed(here: Any, _made: int, lsn: str) -> None:
    while True:
        here.execute("SELECT pg_last_wal_replay_lsn() >= %s", (lsn,))
        if here.fetchone()[0]:
            return
        sleep(POLL)


def _loop(here: Any, _made: int, lsn: str) -> None:
    here.execute("SELECT wait_for_replay(%s)", (lsn,))


floor = _by_hand(_FLUSHED, _until_shown)
by_hand = _by_hand(_FLUSHED, _until_replayed)
fly_postgres = _by_hand(_INSERTED, _loop)


def through_peewee(wait: Any = "write") -> Way:
    """A model's create(), wrapped."""

    @contextmanager
    def way(place: Place) -> Iterator[Opens]:
        with _wrapped(place, wait) as database:
            row = model(database)

            @contextmanager
            def opens() -> Iterator[Write]:
                with database.connection_context():
                    yield lambda: row.create(name="peewee", number=1).id

            yield opens

    return way


@contextmanager
def through_cursor(place: Place) -> Iterator[Opens]:
    """A cursor of a wrapped database's connection: what fly_orm does, without an ORM."""
    with _wrapped(place, "write") as database:

        @contextmanager
        def opens() -> Iterator[Write]:
            with database.connection_context():
                connection = database.connection()
                yield lambda: _insert(connection)

        yield opens


@contextmanager
def _wrapped(place: Place, wait: Any) -> Iterator[Any]:
    parameters = dict(place.replica)
    database = peewee.PostgresqlDatabase(parameters.pop("dbname"), **parameters)
    try:
        yield fly_orm.wrap(database, settings=lax_settings(place.node), wait=wait)
    finally:
        close(database)


def through_pony(wait: Any = "write") -> Way:
    """A db_session that makes one object, wrapped."""

    @contextmanager
    def way(place: Place) -> Iterator[Opens]:
        database = fly_orm.wrap(orm.Database(), settings=lax_settings(place.node), wait=wait)
        entity = type(
            "Row", (database.Entity,), {"name": orm.Required(str), "number": orm.Required(int), "_table_": "row"}
        )
        given = dict(place.replica)
        database.bind("postgres", database=given.pop("dbname"), **given)
        database.generate_mapping(check_tables=False)

        def write() -> int:
            with orm.db_session:
                made = entity(name="pony", number=1)
            return int(made.id)

        @contextmanager
        def opens() -> Iterator[Write]:
            yield write
            orm.rollback()
            database.disconnect()

        try:
            yield opens
        finally:
            close_pony(database)

    return way


WAYS: dict[str, Way] = {
    "direct: psycopg2, no guarantee": direct,
    "direct: psycopg2, pooled, no guarantee": pooled,
    "direct: psycopg2 through PgBouncer, no guarantee": pooler,
    "floor: psycopg2, then the replica without a pause": floor,
    "by hand: flush LSN, poll every 2 ms": by_hand,
    "fly_postgres' way: insert LSN, loop of 50 ms": fly_postgres,
    "fly_orm: cursor": through_cursor,
    "fly_orm: peewee": through_peewee(),
    "fly_orm: peewee, lazy": through_peewee("read"),
    "fly_orm: Pony": through_pony(),
    "fly_orm: Pony, lazy": through_pony("read"),
}
