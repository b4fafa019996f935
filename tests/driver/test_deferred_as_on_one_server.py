"""A deferred transaction behaves as one on one server, whatever happens in it and wherever each part of it runs."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest
from psycopg2 import extensions as ext

import fly_orm
from fly_orm.driver.connection import RoutingConnection
from tests.support.one_table import TABLE
from tests.support.two_regions import TwoRegions

ROUNDS = 20
AGAIN = "TRUNCATE t RESTART IDENTITY; INSERT INTO t (name) VALUES ('first'), ('second')"
READS = ("SELECT name FROM t ORDER BY id", "SELECT count(*) FROM t WHERE name LIKE 'n%'")
FAILS = ("SELECT 1/0", "SELECT nope FROM t", "INSERT INTO t (id, name) VALUES (1, 'taken')")
WRITES = ("INSERT INTO t (name) VALUES (%s)", "UPDATE t SET name = %s WHERE id = 1", "SELECT id, %s FROM t FOR UPDATE")
SAVEPOINTS = ("SAVEPOINT a", "SAVEPOINT b", "RELEASE a", "RELEASE b", "ROLLBACK TO a", "ROLLBACK TO b")

Step = tuple[str, Any]
BY_PSYCOPG2: tuple[Step, ...] = (("end", "commit"), ("end", "rollback"))
BY_SQL: tuple[Step, ...] = (("run", ("COMMIT", None)), ("run", ("ROLLBACK", None)))


def is_local(connection: Any) -> bool:
    served = fly_orm.why()
    return isinstance(connection, RoutingConnection) and served is not None and served.route is fly_orm.Route.LOCAL


def steps(chance: random.Random, count: int, ends: tuple[Step, ...]) -> list[Step]:
    """Random steps, of which few fail a transaction, so that much happens before one does."""
    made: list[Step] = []
    for number in range(count):
        name = f"n{number}"
        made.append(
            chance.choice(
                [
                    *(("run", (sql, None)) for sql in READS * 2),
                    ("run", (chance.choice(FAILS), None)),
                    ("run", (chance.choice(WRITES), (name,))),
                    *(("run", (chance.choice(SAVEPOINTS), None)) for _ in range(4)),
                    ("declare", name),
                    *(("fetch", chance.choice(["fetchone", "fetchall", "__next__", "close"])) for _ in range(4)),
                    chance.choice(ends),
                    ("defer", chance.random() < 0.7),
                ]
            )
        )
    return made


class Session:
    """Takes the same steps over any connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._named: Any = None
        self.local = 0
        """How many reads have run on the replica."""

    def take(self, step: Step) -> object:
        """What the application sees of a step."""
        act: Callable[[Any], object] = getattr(self, f"_{step[0]}")
        try:
            return act(step[1])
        except (psycopg2.Error, StopIteration) as error:
            return type(error).__name__, getattr(error, "pgcode", None)

    def _run(self, statement: tuple[str, Any]) -> object:
        with self._connection.cursor() as cursor:
            cursor.execute(*statement)
            self.local += statement[0] in READS and is_local(self._connection)
            return cursor.fetchall() if cursor.description else (cursor.statusmessage, cursor.rowcount)

    def _declare(self, name: str) -> None:
        cursor = self._connection.cursor(name)
        cursor.itersize = 1  # or what has been fetched in advance would be left of it
        cursor.execute(READS[0])
        self._named = cursor

    def _fetch(self, method: str) -> object:
        return None if self._named is None else getattr(self._named, method)()

    def _end(self, method: str) -> None:
        getattr(self._connection, method)()

    def _defer(self, value: bool) -> None:
        if hasattr(self._connection, "defers_transactions"):
            self._connection.defers_transactions = value


@pytest.fixture
def pair(regions: TwoRegions) -> Any:
    """A connection in lax that defers its transactions, and one to another database on one server."""
    for place in (regions.name, "postgres"):
        with regions.cluster.primary.connect(place).cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS t; {TABLE}")
    regions.cluster.wait_for_replica()
    lax = regions.lax().connection()
    lax.defers_transactions = True
    plain = regions.cluster.primary.connect("postgres")
    yield lax, plain
    plain.close()


@pytest.mark.parametrize("explicit", [False, True], ids=["begun by psycopg2", "begun by BEGIN"])
def test_the_application_sees_the_same(pair: Any, explicit: bool) -> None:
    local = 0
    for seed in range(ROUNDS):
        for connection in pair:
            connection.rollback()
            connection.autocommit = True
            connection.cursor().execute("DISCARD ALL")
            connection.cursor().execute(AGAIN)
            connection.autocommit = explicit
        local += _same(seed, [Session(connection) for connection in pair], pair[1], explicit=explicit)
    assert local > ROUNDS  # or it has compared little


def _same(seed: int, sessions: list[Session], plain: Any, *, explicit: bool) -> int:
    """How many steps of a transaction have run on the replica, if both sessions have seen the same."""
    taken: list[Any] = []
    for step in steps(random.Random(seed), 40, BY_SQL if explicit else BY_PSYCOPG2):
        begins = explicit and plain.info.transaction_status == ext.TRANSACTION_STATUS_IDLE
        for each in [("run", ("BEGIN", None)), step] if begins else [step]:
            seen = [session.take(each) for session in sessions]
            taken.append((*each, *seen))
            assert seen[0] == seen[1], "\n".join(map(str, [seed, *taken]))
    for session in sessions:
        session.take(("end", "rollback"))
        session.take(("run", ("ROLLBACK", None)))
    final = [session.take(("run", (READS[0], None))) for session in sessions]
    assert final[0] == final[1], "\n".join(map(str, [seed, *taken]))
    return sessions[0].local
