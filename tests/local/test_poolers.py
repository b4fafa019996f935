"""The application behind PgBouncer: each statement may reach another server, and no read misses a write."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import peewee
import psycopg2
import pytest
from playhouse.pool import PooledPostgresqlDatabase
from pony import orm

import fly_orm
from fly_orm import Route
from fly_orm.deadline import now
from fly_orm.local.repetition import Repetition
from fly_orm.postgres.pooling import server_pid
from fly_orm.testing import Cluster, RoundRobin
from tests.support.pgbouncer import PgBouncer, pgbouncer
from tests.support.pony_regions import close
from tests.support.two_regions import TwoRegions, named, settings, two_regions
from tests.support.waiting import until

MODES = ["session", "transaction"]
INSERT = "INSERT INTO t (name) VALUES (%s)"
NAMES = "SELECT name FROM t ORDER BY name"


@pytest.fixture(scope="module")
def two() -> Iterator[tuple[TwoRegions, list[Any]]]:
    with Cluster.start() as cluster:
        second = cluster.add_replica()
        with two_regions(cluster, "postgres") as regions:
            regions.query("CREATE TABLE t (id serial PRIMARY KEY, name text)")
            cluster.wait_for_replica()
            until(lambda: second.query("SELECT to_regclass('t') IS NOT NULL"))
            yield regions, [cluster.replica, second]


@pytest.fixture
def regions(two: tuple[TwoRegions, list[Any]]) -> TwoRegions:
    regions = two[0]
    regions.query("TRUNCATE t")
    regions.cluster.wait_for_replica()
    return regions


@pytest.fixture
def replicas(two: tuple[TwoRegions, list[Any]]) -> Iterator[list[Any]]:
    yield two[1]
    for server in two[1]:
        server.query("SELECT pg_wal_replay_resume()")


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def pooler(mode: str, *servers: Any) -> Iterator[PgBouncer]:
    """A pooler with a connection to each server, which it uses in turn."""
    with RoundRobin(*servers) as address, pgbouncer(mode, address.parameters, server_round_robin=1) as made:
        connections = [made.connect("postgres") for _ in servers]
        for command in ("BEGIN", "ROLLBACK"):
            for connection in connections:
                with connection.cursor() as cursor:
                    cursor.execute(command)
        for connection in connections:
            connection.close()
        yield made


@pytest.fixture
def lax(regions: TwoRegions, replicas: list[Any], mode: str) -> Iterator[Any]:
    """A database behind a pooler in front of one replica."""
    with pooler(mode, replicas[0]) as made:
        db = regions.lax(options={"replication_timeout": 0.3}, **made.parameters)
        yield db
        db.close()


def pause(server: Any) -> None:
    server.query("SELECT pg_wal_replay_pause()")
    until(lambda: server.query("SELECT pg_get_wal_replay_pause_state()") == "paused")


class Peewee:
    """Writes and reads with peewee, over a connection of its own each time."""

    def __init__(self, regions: TwoRegions, parameters: dict[str, Any]) -> None:
        self.db = regions.lax(options={"replication_timeout": 0.1}, **parameters)

    def write(self, name: str) -> None:
        with self.db.connection_context():
            self.db.execute_sql(INSERT, (name,))

    def names(self) -> list[str]:
        with self.db.connection_context():
            return [name for (name,) in self.db.execute_sql(NAMES)]

    def close(self) -> None:
        self.db.close()


class Pony:
    """The same with Pony, which keeps its connection."""

    def __init__(self, regions: TwoRegions, parameters: dict[str, Any]) -> None:
        self.db = orm.Database()
        fly_orm.wrap(self.db, settings=regions.lax_settings(replication_timeout=0.1))
        self.T = type("T", (self.db.Entity,), {"_table_": "t", "name": orm.Required(str)})
        self.db.bind(provider="postgres", **{**named(regions.cluster.replica, "postgres"), **parameters})
        self.db.generate_mapping(check_tables=False)

    def write(self, name: str) -> None:
        with orm.db_session:
            self.T(name=name)

    def names(self) -> list[str]:
        with orm.db_session:
            return sorted(row.name for row in self.T.select())

    def close(self) -> None:
        close(self.db)


@pytest.mark.parametrize("late", [0, 1])
@pytest.mark.parametrize("orm_of", [Peewee, Pony])
def test_a_session_finds_its_writes_whichever_replica_is_late(
    regions: TwoRegions, replicas: list[Any], mode: str, orm_of: Any, late: int
) -> None:
    served: Counter[Route] = Counter()
    with pooler(mode, *replicas) as made, ExitStack() as undo:
        database = orm_of(regions, made.parameters)
        undo.callback(database.close)
        other = made.connect("postgres")
        undo.callback(other.close)
        pause(replicas[late])
        for number in range(20):
            with fly_orm.session():
                database.write(f"{number:02}")
                for turn in range(3):
                    if (number + turn) % 2:
                        server_pid(other)  # or the reads might all get the same turn
                    assert database.names() == [f"{each:02}" for each in range(number + 1)]
                    served[fly_orm.why().route] += 1
    if mode == "transaction":  # in session mode, the application may be on the late one for good
        assert served[Route.LOCAL] > served[Route.PRIMARY]


def test_its_reads_stay_on_a_replica_that_shows_its_writes(lax: Any) -> None:
    for number in range(20):
        with fly_orm.session():
            lax.execute_sql(INSERT, (f"{number:02}",))
            assert len(lax.execute_sql(NAMES).fetchall()) == number + 1
            assert fly_orm.why().route is Route.LOCAL


def test_its_reads_go_to_the_primary_while_the_replica_is_late(lax: Any, replicas: list[Any]) -> None:
    pause(replicas[0])
    lax.execute_sql(INSERT, ("mine",))
    for _ in range(2):
        assert lax.execute_sql(NAMES).fetchall() == [("mine",)]
        assert fly_orm.why().route is Route.PRIMARY
        assert "pinned" in fly_orm.why().why
    replicas[0].query("SELECT pg_wal_replay_resume()")
    until(lambda: lax.execute_sql(NAMES) and fly_orm.why().route is Route.LOCAL)


def test_a_token_is_honoured(regions: TwoRegions, replicas: list[Any], mode: str) -> None:
    fly_orm.configure(settings("lax", regions.wan.address))
    elsewhere = regions.on(replicas[1])
    with fly_orm.session():
        elsewhere.execute_sql(INSERT, ("mine",))
        told = fly_orm.token()
    with pooler(mode, *replicas) as made:
        pause(replicas[0])
        db = regions.lax(options={"replication_timeout": 0.1}, **made.parameters)
        for _ in range(4):
            with fly_orm.session(), db.connection_context():
                fly_orm.resume(told)
                assert db.execute_sql(NAMES).fetchall() == [("mine",)]


class TestAReadThatIsChecked:
    """It runs in a transaction with the question whether its server shows enough."""

    def test_leaves_no_transaction_behind(self, lax: Any) -> None:
        lax.execute_sql(INSERT, ("mine",))
        connection = lax.connection()
        for _ in range(2):
            with pytest.raises(peewee.DataError, match="division by zero"):
                lax.execute_sql("SELECT 1/0")
            assert connection.get_transaction_status() == psycopg2.extensions.TRANSACTION_STATUS_IDLE
            lax.execute_sql(NAMES)
            assert fly_orm.why().route is Route.LOCAL
            assert connection.get_transaction_status() == psycopg2.extensions.TRANSACTION_STATUS_IDLE

    def test_is_repeated_on_the_primary_if_the_replica_refuses_it(self, lax: Any, regions: TwoRegions) -> None:
        regions.query("CREATE OR REPLACE FUNCTION add() RETURNS text LANGUAGE sql AS "
                      "$$INSERT INTO t (name) VALUES ('by a function') RETURNING name$$")  # fmt: skip
        lax.execute_sql(INSERT, ("mine",))
        assert lax.execute_sql("SELECT add()").fetchall() == [("by a function",)]
        assert fly_orm.why().route is Route.PRIMARY
        assert lax.execute_sql(NAMES).fetchall() == [("by a function",), ("mine",)]

    def test_has_a_snapshot_that_is_not_older_than_the_answer(self, lax: Any) -> None:
        lax.execute_sql("SET default_transaction_isolation TO 'repeatable read'")
        lax.execute_sql(INSERT, ("mine",))
        assert lax.execute_sql("SELECT current_setting('transaction_isolation')").fetchall() == [("read committed",)]
        assert fly_orm.why().route is Route.LOCAL

    def test_has_the_row_count_the_columns_and_the_query_of_any_read(self, lax: Any) -> None:
        lax.execute_sql(INSERT, ("mine",))
        cursor = lax.execute_sql(NAMES)
        found = cursor.rowcount, cursor.description[0].name, cursor.query, cursor.statusmessage
        assert found == (1, "name", NAMES.encode(), "SELECT 1")
        assert fly_orm.why().route is Route.LOCAL

    @pytest.mark.parametrize("late", [False, True])
    def test_can_be_of_any_kind(self, lax: Any, replicas: list[Any], late: bool) -> None:
        if late:
            pause(replicas[0])
        lax.execute_sql(INSERT, ("mine",))
        connection = lax.connection()
        with connection.cursor() as cursor:
            cursor.executemany(NAMES, [(), ()])
            cursor.copy_expert(f"COPY ({NAMES}) TO STDOUT", copied := io.StringIO())
            assert copied.getvalue() == "mine\n"
        with lax.atomic("REPEATABLE READ READ ONLY"):
            assert lax.execute_sql(NAMES).fetchall() == [("mine",)]
        with lax.atomic():
            assert lax.execute_sql(NAMES).fetchall() == [("mine",)]
        with fly_orm.primary():
            lax.execute_sql(NAMES)
            assert fly_orm.why().route is Route.PRIMARY
        with fly_orm.replica():
            lax.execute_sql(NAMES)
            assert fly_orm.why().route is Route.LOCAL
        with connection.cursor("named", withhold=True) as cursor:
            cursor.execute(NAMES)
            assert cursor.fetchall() == [("mine",)]
            assert fly_orm.why().route is Route.PRIMARY  # where the session is the same when it fetches


def test_settings_apply_to_writes_and_in_session_mode_to_reads(lax: Any, mode: str, regions: TwoRegions) -> None:
    """In transaction mode, reads have whatever the Postgres session has that serves them, as without fly_orm."""
    regions.query("CREATE SCHEMA IF NOT EXISTS other; CREATE TABLE IF NOT EXISTS other.t (name text); TRUNCATE other.t")
    lax.execute_sql("SET search_path TO other")
    lax.execute_sql("SET TimeZone TO 'Asia/Tokyo'")
    lax.execute_sql(INSERT, ("mine",))
    assert regions.query("SELECT name FROM other.t") == "mine"
    with fly_orm.primary():
        assert lax.execute_sql("SELECT current_setting('TimeZone')").fetchall() == [("Asia/Tokyo",)]
        assert lax.execute_sql(NAMES).fetchall() == [("mine",)]
    assert lax.execute_sql("SELECT current_setting('TimeZone')").fetchall() == [("Asia/Tokyo",)]
    if mode == "session":
        assert lax.execute_sql(NAMES).fetchall() == [("mine",)]
    assert fly_orm.why().route is Route.LOCAL


class TestTheServerBehindIt:
    """What the pooler repeats of a server's reports may be about another server."""

    def test_is_asked_what_it_is_when_a_connection_is_opened(self, regions: TwoRegions, replicas: list[Any]) -> None:
        servers = regions.cluster.primary, replicas[0]
        with RoundRobin(*servers) as address, pgbouncer("session", address.parameters) as made:
            first = made.connect("postgres")
            assert server_pid(first)  # takes the connection to the primary
            db = regions.lax(**made.parameters)
            assert db.connection().get_parameter_status("in_hot_standby") == "off"
            db.execute_sql(INSERT, ("mine",))
            assert fly_orm.why().route is Route.PRIMARY
            assert db.execute_sql(NAMES).fetchall() == [("mine",)]
            first.close()

    def test_may_become_a_primary_under_an_open_connection(self, regions: TwoRegions, replicas: list[Any]) -> None:
        with pgbouncer("transaction", replicas[0].params()) as made:
            db = regions.lax(options={"replication_timeout": 0.1}, **made.parameters)
            db.execute_sql(INSERT, ("1",))
            for number, server in enumerate((regions.cluster.primary, replicas[0], regions.cluster.primary), start=2):
                made.lead_to(server.params())
                made.command("RELOAD")
                made.command("RECONNECT")
                with fly_orm.session():
                    db.execute_sql(INSERT, (f"{number}",))
                    assert [name for (name,) in db.execute_sql(NAMES)] == [f"{n}" for n in range(1, number + 1)]
            assert db.execute_sql("SELECT pg_is_in_recovery()").fetchall() == [(False,)]

    def test_may_change_its_role_under_a_pool_of_connections(self, regions: TwoRegions, replicas: list[Any]) -> None:
        primary, replica = regions.cluster.primary.params(), replicas[0].params()
        with pgbouncer("transaction", primary) as made:
            db = regions.lax(PooledPostgresqlDatabase, options={"replication_timeout": 0.1}, **made.parameters)

            def lead_to(server: Any) -> None:
                made.lead_to(server)
                made.command("RELOAD")
                made.command("RECONNECT")

            def write(name: str) -> Any:
                with db.connection_context():
                    db.execute_sql(INSERT, (name,))
                    served = fly_orm.why()
                    assert (name,) in db.execute_sql(NAMES).fetchall()
                    return served.node

            assert write("to the primary itself") is None
            lead_to(replica)
            with pytest.raises(peewee.InternalError, match="read-only transaction"):
                write("refused, and not executed")
            assert write("by way of a node") is not None
            lead_to(primary)
            assert write("still by way of a node") is not None
            assert write("to the primary again") is None
            assert len(db.execute_sql(NAMES).fetchall()) == 4
            db.close_all()

    @pytest.mark.slow
    def test_may_be_promoted_while_no_node_can_write(self, mode: str) -> None:
        with Cluster.start() as cluster, two_regions(cluster, "postgres") as regions, ExitStack() as undo:
            regions.query("CREATE TABLE t (id serial PRIMARY KEY, name text)")
            cluster.wait_for_replica()
            database = Pony(regions, undo.enter_context(pgbouncer(mode, cluster.replica.params())).parameters)
            undo.callback(database.close)
            database.write("before")
            cluster.promote()
            cluster.primary.stop()
            with fly_orm.session(), pytest.raises(orm.core.OrmError, match="Refused"):
                database.write("refused, and not executed")
            with fly_orm.session():
                database.write("after")
                assert database.names() == ["after", "before"]

    def test_is_no_place_to_play_a_replica(self, regions: TwoRegions, mode: str) -> None:
        with pgbouncer(mode, regions.cluster.primary.params()) as made:
            db = regions.lax(options={"settings": regions.lax_settings(read_only=True)}, **made.parameters)
            with pytest.raises(fly_orm.NotSupported, match="without a connection pooler"):
                db.connect()


def test_incidents_that_repeat_at_several_servers_have_to_last_longer_each_time() -> None:
    repetition = Repetition()
    repetition.begin(0.05)
    assert repetition.may_end
    for hold in (0.05, 0.1):
        repetition.end()
        began = now()
        repetition.begin(0.05)
        assert not repetition.may_end
        until(lambda: repetition.may_end)
        assert now() - began > 0.9 * hold


@pytest.mark.parametrize("mode", ["transaction"], indirect=True)
def test_a_deferred_transaction_reads_here_and_has_its_named_cursors_on_the_primary(lax: Any) -> None:
    connection = lax.connection()
    connection.autocommit, connection.defers_transactions = False, True
    with connection.cursor() as cursor:
        cursor.execute("SAVEPOINT a")
        cursor.execute(NAMES)
        assert fly_orm.why().route is Route.LOCAL
        cursor.execute("RELEASE a")
        with pytest.raises(psycopg2.errors.DivisionByZero):
            cursor.execute("SELECT 1/0")
        with pytest.raises(psycopg2.errors.InFailedSqlTransaction):
            cursor.execute(NAMES)
    connection.rollback()
    with connection.cursor("named") as cursor:
        cursor.execute("SELECT generate_series(1, 3)")
        assert fly_orm.why().route is Route.PRIMARY
        assert [cursor.fetchone(), cursor.fetchall()] == [(1,), [(2,), (3,)]]
    connection.commit()
