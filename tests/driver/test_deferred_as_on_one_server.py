"""A deferred transaction behaves as one on one server, whatever happens in it and wherever each part of it runs."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg2
import pytest
from psycopg2 import extensions as ext

import fly_orm
from fly_orm.driver.connection import RoutingConnection
from tests.support.one_table import TABLE
from tests.support.two_regions import TwoRegions

#: Which programs are run. To look for more, set the first one in the environment.
FIRST, ROUNDS = int(os.environ.get("FIRST_PROGRAM", "0")), 12
AGAIN = "TRUNCATE t RESTART IDENTITY; INSERT INTO t (name) VALUES ('first'), ('second')"
READS = ("SELECT name FROM t ORDER BY id", "SELECT count(*) FROM t WHERE name LIKE 'n%'")
FAILS = ("SELECT 1/0", "SELECT nope FROM t", "INSERT INTO t (id, name) VALUES (1, 'taken')")
WRITES = ("INSERT INTO t (name) VALUES (%s)", "UPDATE t SET name = %s WHERE id = 1", "SELECT id, %s FROM t FOR UPDATE")
SAVEPOINTS = ("SAVEPOINT a", "SAVEPOINT b", "RELEASE a", "RELEASE b", "ROLLBACK TO a", "ROLLBACK TO b")
TEXTS = (
    *(*READS, *FAILS, *SAVEPOINTS, "SHOW work_mem", "SET LOCAL work_mem TO '5MB'", "INSERT INTO t (name) VALUES ('x')"),
    *("COMMIT", "ROLLBACK", "COMMIT AND CHAIN", "ROLLBACK AND CHAIN", "BEGIN") * 2,
)
CHAINS = ("COMMIT AND CHAIN", "ROLLBACK AND CHAIN")
CURSORS = ("FETCH 1 FROM c", "MOVE 1 FROM d", "CLOSE c", "CLOSE ALL", f"DECLARE d CURSOR FOR {READS[0]}")
MODES = (
    *({"autocommit": False}, {"autocommit": True}, {"readonly": "default"}, {"readonly": False}),
    *({"isolation_level": level} for level in ("default", "read committed", "repeatable read", "read uncommitted")),
)
SETTINGS = (
    *("SET work_mem TO '7MB'", "SET LOCAL work_mem TO '6MB'", "RESET work_mem", "SHOW work_mem"),
    *("SELECT set_config('work_mem', '8MB', false)", "SELECT set_config('work_mem', '9MB', true)"),
    *("SET app.x TO 'a'", "SET LOCAL app.x TO 'b'", "SELECT current_setting('app.x', true)"),
    *("SET default_transaction_read_only TO off", "SET TRANSACTION READ ONLY"),
)
FUNCTION = """
    CREATE OR REPLACE FUNCTION set_x(text) RETURNS text LANGUAGE plpgsql AS
        $$BEGIN PERFORM set_config('app.x', $1, false); RETURN $1; END$$
"""
X = "SELECT nullif(current_setting('app.x', true), '')"
REPEATED = (READS[0], "SELECT 1/%s", "INSERT INTO t (name) VALUES ('m%s')", "SELECT 1; COMMIT")
COPIES = ("COPY t (name) TO STDOUT", "COPY t (nope) TO STDOUT")
DEFAULTS = ("default_transaction_read_only", "default_transaction_isolation")

Step = tuple[str, Any]
Make = Callable[[random.Random, int, tuple[Step, ...]], list[Step]]
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


def texts(chance: random.Random, count: int, ends: tuple[Step, ...]) -> list[Step]:
    """Steps with several statements in one text, chains, settings, COPY, and cursors of the same few names."""
    made: list[Step] = []
    for step in steps(chance, count, ends):
        text = "; ".join(chance.choice(TEXTS) for _ in range(chance.choice([2, 2, 3])))
        made.append(
            chance.choice(
                [
                    *[step] * 6,
                    *[("run", (text, None))] * 2,
                    ("run", (chance.choice(CHAINS), None)),
                    ("run", (chance.choice(CURSORS), None)),
                    *[("declare", chance.choice("cd"))] * 2,
                    ("hold", chance.choice("cd")),
                    ("modes", chance.choice(MODES[0 if ends is BY_PSYCOPG2 else 1 :])),
                    *[("run", (chance.choice(SETTINGS), None))] * 2,
                    ("many", (chance.choice(REPEATED), chance.choice([1, 2]))),
                    ("copy", chance.choice(COPIES)),
                    ("run", (f"SHOW {chance.choice(DEFAULTS)}", None)),
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
            seen = act(step[1])
        except (psycopg2.Error, StopIteration) as error:
            seen = type(error).__name__, getattr(error, "pgcode", None)
        return seen, self._connection.get_transaction_status() == ext.TRANSACTION_STATUS_INERROR

    def _run(self, statement: tuple[str, Any]) -> object:
        with self._connection.cursor() as cursor:
            cursor.execute(*statement)
            self.local += statement[0] in READS and is_local(self._connection)
            return cursor.fetchall() if cursor.description else (cursor.statusmessage, cursor.rowcount)

    def _declare(self, name: str, *, withhold: bool = False) -> None:
        cursor = self._connection.cursor(name, withhold=withhold)
        cursor.itersize = 1  # or what has been fetched in advance would be left of it
        cursor.execute(READS[0])
        self._named = cursor

    def _many(self, repeated: tuple[str, int]) -> object:
        sql, times = repeated
        with self._connection.cursor() as cursor:
            cursor.executemany(sql, [(number,) if "%s" in sql else () for number in range(times)])
            return cursor.statusmessage, cursor.rowcount

    def _copy(self, sql: str) -> str:
        with self._connection.cursor() as cursor:
            cursor.copy_expert(sql, copied := io.StringIO())
        return copied.getvalue()

    def _hold(self, name: str) -> None:
        self._declare(name, withhold=True)

    def _modes(self, modes: dict[str, Any]) -> None:
        self._connection.rollback()
        self._connection.set_session(**modes)

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
            cursor.execute(f"DROP TABLE IF EXISTS t; {TABLE}; {FUNCTION}")
    regions.cluster.wait_for_replica()
    lax = regions.lax().connection()
    lax.defers_transactions = True
    plain = regions.cluster.primary.connect("postgres")
    yield lax, plain
    plain.close()


def named(connection: Any) -> None:
    with connection.cursor("c") as cursor:
        cursor.execute("SELECT set_x('b')")
        cursor.fetchall()


#: How a function may come to run that sets app.x to "b".
CALLS: dict[str, Callable[[Any], Any]] = {
    "execute": lambda connection: connection.cursor().execute("SELECT set_x(%s)", ("b",)),
    "executemany": lambda connection: connection.cursor().executemany("SELECT set_x(%s)", [("a",), ("b",)]),
    "callproc": lambda connection: connection.cursor().callproc("set_x", ("b",)),
    "copy": lambda connection: connection.cursor().copy_expert("COPY (SELECT set_x('b')) TO STDOUT", io.StringIO()),
    "EXPLAIN ANALYZE": lambda connection: connection.cursor().execute("EXPLAIN ANALYZE SELECT set_x('b')"),
    "several": lambda connection: connection.cursor().execute("SELECT 1; SELECT set_x('b')"),
    "a named cursor": named,
}


@pytest.mark.parametrize("explicit", [False, True], ids=["begun by psycopg2", "begun by BEGIN"])
@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK", "ROLLBACK TO a; COMMIT", "SELECT 1/0"])
@pytest.mark.parametrize("call", CALLS)
def test_settings_of_functions_are_those_of_the_transaction(pair: Any, call: str, end: str, explicit: bool) -> None:
    seen: list[Any] = []
    for connection in pair:
        session = Session(connection)
        connection.autocommit = True
        session.take(("run", ("SET app.x TO 'a'", None)))
        connection.autocommit = explicit
        for sql in ["BEGIN"] * explicit + [READS[0], "SAVEPOINT a"]:
            session.take(("run", (sql, None)))
        with suppress(psycopg2.ProgrammingError):  # psycopg2 refuses named cursors in what BEGIN has begun
            CALLS[call](connection)
        session.take(("run", (end, None)))
        if end == "SELECT 1/0":
            session.take(("run", ("ROLLBACK", None)))
        seen.append([session.take(("run", (sql, None))) for sql in (X, f"INSERT INTO t (name) {X} RETURNING name", X)])
    assert seen[0] == seen[1]


@pytest.mark.parametrize("make", [steps, texts])
@pytest.mark.parametrize("explicit", [False, True], ids=["begun by psycopg2", "begun by BEGIN"])
def test_the_application_sees_the_same(pair: Any, explicit: bool, make: Make) -> None:
    local = 0
    for seed in range(FIRST, FIRST + ROUNDS):
        for connection in pair:
            connection.reset()
            connection.autocommit = True
            connection.cursor().execute("DISCARD ALL")
            connection.cursor().execute(AGAIN)
            connection.autocommit = explicit
        pair[0].defers_transactions = True
        program = make(random.Random(seed), 40, BY_SQL if explicit else BY_PSYCOPG2)
        local += _same(seed, program, [Session(connection) for connection in pair], pair[1], explicit=explicit)
    assert local > 0  # or it has compared nothing


def _same(seed: int, program: list[Step], sessions: list[Session], plain: Any, *, explicit: bool) -> int:
    """How many steps of a transaction have run on the replica, if both sessions have seen the same."""
    taken: list[Any] = []
    for step in program:
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
