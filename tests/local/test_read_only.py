"""With FLY_ORM_READ_ONLY, a process in lax whose server is the primary itself does what it would on a replica."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import peewee
import psycopg2
import pytest
from playhouse.pool import PooledPostgresqlDatabase
from psycopg2 import errors
from psycopg2 import extensions as ext

import fly_orm
from tests.support.one_table import INSERT, TABLE, count
from tests.support.two_regions import TwoRegions, close, named, settings

pytestmark = pytest.mark.usefixtures("no_spare_channels")

HIDDEN = "CREATE FUNCTION hidden() RETURNS int LANGUAGE sql AS $$INSERT INTO t (name) VALUES (NULL) RETURNING id$$"
SWITCH = """
    CREATE FUNCTION switch() RETURNS text LANGUAGE sql AS
    $$SELECT set_config('default_transaction_read_only', 'off', false)$$
"""


def laptop(regions: TwoRegions, cls: type = peewee.PostgresqlDatabase, **parameters: Any) -> Any:
    """A database in lax, in read-only mode, whose server is the primary."""
    database = regions.plain(cls, **parameters)
    return fly_orm.wrap(database, settings=regions.lax_settings(read_only=True))


@pytest.fixture
def db(regions: TwoRegions) -> Any:
    for sql in (TABLE, HIDDEN, SWITCH):
        regions.query(sql)
    database = laptop(regions)
    database.execute_sql(INSERT, ("first",))  # from now on, a channel is open, which takes a round trip
    return database


def served(db: Any, sql: str, *parameters: Any) -> fly_orm.Served:
    """Where a statement was served."""
    db.execute_sql(sql, parameters or None)
    found = fly_orm.why()
    assert found is not None
    return found


def is_local(db: Any, sql: str) -> bool:
    return served(db, sql).route is fly_orm.Route.LOCAL


def assert_closed(db: Any) -> None:
    """A write that the router does not see is refused by the session here, and goes through the node."""
    found = served(db, "SELECT hidden()")
    assert found.route is fly_orm.Route.PRIMARY
    assert found.why == "the replica refused: cannot execute INSERT in a read-only transaction"
    with pytest.raises(errors.ReadOnlySqlTransaction), ext.cursor(db.connection()) as cursor:
        cursor.execute("INSERT INTO t (name) VALUES ('behind the back')")


# What runs where


def test_reads_run_here_and_writes_through_the_node(regions: TwoRegions, db: Any) -> None:
    before = regions.wan.round_trips
    assert count(db) == 1
    assert is_local(db, "SELECT * FROM t")
    assert regions.wan.round_trips == before
    found = served(db, INSERT, "ann")
    assert (found.route, found.node) == (fly_orm.Route.PRIMARY, f"syd={regions.wan.address}")
    assert count(db) == 2
    assert is_local(db, "SELECT 1")


def test_a_session_reads_its_own_writes_here(db: Any) -> None:
    for number in range(20):
        db.execute_sql(INSERT, (str(number),))
        assert db.execute_sql("SELECT count(*) FROM t WHERE name = %s", (str(number),)).fetchone() == (1,)
        found = fly_orm.why()
        assert found is not None
        assert found.route is fly_orm.Route.LOCAL


def test_a_transaction_runs_on_the_primary(regions: TwoRegions, db: Any) -> None:
    before = regions.wan.round_trips
    with db.atomic() as outer:
        db.execute_sql(INSERT, ("a",))
        assert not is_local(db, "SELECT * FROM t")
        with db.atomic() as inner:
            db.execute_sql(INSERT, ("b",))
            inner.rollback()
        assert count(db) == 2
        assert regions.query("SELECT count(*) FROM t") == 1
        outer.rollback()
    with db.atomic():
        db.execute_sql(INSERT, ("c",))
    assert [name for (name,) in db.execute_sql("SELECT name FROM t ORDER BY id")] == ["first", "c"]
    assert regions.wan.round_trips > before


def test_a_transaction_declared_read_only_runs_here(regions: TwoRegions, db: Any) -> None:
    before = regions.wan.round_trips
    db.execute_sql("BEGIN READ ONLY")
    assert is_local(db, "SELECT count(*) FROM t")
    with pytest.raises(peewee.InternalError, match="read-only transaction"):
        db.execute_sql(INSERT, ("never",))
    db.execute_sql("ROLLBACK")
    assert regions.wan.round_trips == before
    assert regions.query("SELECT count(*) FROM t") == 1


def test_what_the_server_here_says_of_itself(db: Any) -> None:
    assert db.execute_sql("SHOW transaction_read_only").fetchone() == ("on",)
    assert db.execute_sql("SELECT pg_is_in_recovery()").fetchone() == (False,)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT nextval('t_id_seq')",
        "SELECT 1 FROM t FOR UPDATE",
        "EXPLAIN ANALYZE INSERT INTO t DEFAULT VALUES",
        "WITH new AS (INSERT INTO t DEFAULT VALUES RETURNING id) SELECT * FROM new",
        "DO $$BEGIN INSERT INTO t DEFAULT VALUES; END$$",
        "SELECT txid_current()",
        "NOTIFY chan",
        "VACUUM t",
        "ANALYZE t",
        "REINDEX TABLE t",
        "BEGIN READ WRITE; INSERT INTO t DEFAULT VALUES; COMMIT",
        "SET transaction_read_only = off; INSERT INTO t DEFAULT VALUES",
        "CREATE TEMP TABLE mine (a int)",
        "SELECT pg_advisory_lock(1)",
    ],
)
def test_what_a_replica_refuses_runs_through_the_node(regions: TwoRegions, db: Any, sql: str) -> None:
    before = regions.wan.round_trips
    assert not is_local(db, sql)
    assert regions.wan.round_trips > before
    db.close()


def test_copying_in_goes_through_the_node_and_copying_out_runs_here(regions: TwoRegions, db: Any) -> None:
    db.connection().cursor().copy_from(io.StringIO("x\ny\n"), "t", columns=("name",))
    before, out = regions.wan.round_trips, io.StringIO()
    db.connection().cursor().copy_to(out, "t", columns=("name",))
    assert out.getvalue() == "first\nx\ny\n"
    assert regions.wan.round_trips == before


def test_listening_is_refused(db: Any) -> None:
    with pytest.raises(fly_orm.NotSupported, match="LISTEN"):
        db.execute_sql("LISTEN chan")


def test_without_a_node_nothing_is_written(regions: TwoRegions, db: Any) -> None:
    alone = fly_orm.wrap(regions.plain(), settings=settings("lax", "127.0.0.1:1", read_only=True))
    assert count(alone) == 1
    for sql in ("INSERT INTO t (name) VALUES ('lost')", "SELECT hidden()"):
        with pytest.raises(fly_orm.NotDelivered):
            alone.execute_sql(sql)
    with pytest.raises(fly_orm.NotDelivered), alone.atomic():
        alone.execute_sql("DELETE FROM t")
    assert count(alone) == 1


# What could open the session here


def test_the_session_here_is_read_only_from_the_start(regions: TwoRegions, db: Any) -> None:
    another = laptop(regions)
    with pytest.raises(errors.ReadOnlySqlTransaction), ext.cursor(another.connection()) as cursor:
        cursor.execute("INSERT INTO t (name) VALUES ('behind the back')")
    assert_closed(another)


@pytest.mark.parametrize(
    "sql",
    [
        "RESET ALL",
        "SET default_transaction_read_only TO off",
        "SET default_transaction_read_only TO DEFAULT",
        "RESET default_transaction_read_only",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        "SELECT set_config('default_transaction_read_only', 'off', false)",
        "SELECT set_config('default_transaction' || '_read_only', 'off', false)",
        "SELECT switch()",
    ],
)
@pytest.mark.parametrize("around", [None, "BEGIN", "BEGIN READ ONLY"])
def test_no_setting_opens_it(regions: TwoRegions, db: Any, sql: str, around: str | None) -> None:
    for step in filter(None, (around, sql, around and "COMMIT")):
        db.execute_sql(step)
    assert_closed(db)
    assert regions.query("SELECT count(*) FROM t") == 2


def test_a_transaction_here_that_failed_can_be_ended_after_the_session_was_switched(db: Any) -> None:
    for step in ("BEGIN READ ONLY", "SELECT switch(); SAVEPOINT a"):
        db.execute_sql(step)
    with pytest.raises(peewee.ProgrammingError):
        db.execute_sql("nonsense")
    with pytest.raises(peewee.InternalError, match="current transaction is aborted"):
        db.execute_sql("VACUUM t")
    db.execute_sql("ROLLBACK TO a")
    db.execute_sql("COMMIT")
    assert_closed(db)


@pytest.mark.parametrize("sql", ["RESET ALL", "DISCARD ALL", "SELECT switch()"])
def test_every_way_to_run_something_finds_it_closed(db: Any, sql: str) -> None:
    runs: list[Callable[[Any], Any]] = [
        lambda cursor: cursor.execute("SELECT hidden()"),
        lambda cursor: cursor.executemany("SELECT hidden() + %s", [(1,), (2,)]),
        lambda cursor: cursor.callproc("hidden"),
        lambda cursor: cursor.copy_expert("COPY (SELECT hidden()) TO STDOUT", io.StringIO()),
    ]
    for run in runs:
        db.execute_sql(sql)
        run(db.connection().cursor())
        found = fly_orm.why()
        assert found is not None
        assert found.route is fly_orm.Route.PRIMARY
    with pytest.raises(errors.ReadOnlySqlTransaction), ext.cursor(db.connection()) as cursor:
        cursor.execute("INSERT INTO t (name) VALUES ('behind the back')")


def test_the_connections_own_modes_do_not_open_it(db: Any) -> None:
    connection = db.connection()
    changes: list[Callable[[], Any]] = [
        lambda: connection.set_session(readonly=False, autocommit=True),
        lambda: connection.set_session(readonly=None, autocommit=True),
        lambda: [connection.reset(), connection.set_session(autocommit=True)],
    ]
    for change in changes:
        change()
        connection.cursor().execute("SELECT 1")
        with pytest.raises(errors.ReadOnlySqlTransaction), ext.cursor(connection) as cursor:
            cursor.execute("INSERT INTO t (name) VALUES ('behind the back')")


@pytest.mark.parametrize(
    "sql",
    [
        "SET TRANSACTION READ WRITE",
        "SET transaction_read_only = off",
        "SET LOCAL transaction_read_only TO off",
        "SELECT set_config('transaction_read_only', 'off', true)",
        "BEGIN READ WRITE",
        "START TRANSACTION READ WRITE",
        "SET transaction_read_only = off; INSERT INTO t (name) VALUES ('never')",
        "SAVEPOINT a; SET transaction_read_only = off",
    ],
)
@pytest.mark.parametrize("begin", ["BEGIN READ ONLY", "BEGIN READ ONLY; COMMIT AND CHAIN", "implicit"])
def test_a_transaction_here_does_not_become_one_that_writes(regions: TwoRegions, db: Any, sql: str, begin: str) -> None:
    connection = db.connection()
    if begin == "implicit":
        connection.set_session(readonly=True, autocommit=False)
    else:
        for step in begin.split("; "):
            connection.cursor().execute(step)
    before = regions.wan.round_trips
    with pytest.raises(psycopg2.Error):
        connection.cursor().execute(sql)
    with pytest.raises(psycopg2.Error):
        connection.cursor().execute("INSERT INTO t (name) VALUES ('never')")
    for end in (lambda: connection.cursor().execute("ROLLBACK"), connection.rollback):
        end()
    assert regions.wan.round_trips == before
    assert regions.query("SELECT count(*) FROM t") == 1


def test_nor_does_it_after_a_savepoint(regions: TwoRegions, db: Any) -> None:
    for step in ("BEGIN READ ONLY", "SAVEPOINT a"):
        db.execute_sql(step)
    with pytest.raises(peewee.ProgrammingError):
        db.execute_sql("nonsense")
    with pytest.raises(peewee.InternalError, match="before any query"):
        db.execute_sql("ROLLBACK TO a; RELEASE a; SET transaction_read_only = off; INSERT INTO t DEFAULT VALUES")
    db.execute_sql("ROLLBACK")
    assert regions.query("SELECT count(*) FROM t") == 1


@pytest.mark.parametrize(
    "sql",
    [
        "COMMIT; BEGIN READ WRITE; INSERT INTO t (name) VALUES ('never'); COMMIT",
        "ROLLBACK; SET transaction_read_only = off; INSERT INTO t (name) VALUES ('never')",
        "SELECT switch(); COMMIT; INSERT INTO t (name) VALUES ('never')",
    ],
)
def test_a_string_that_ends_a_transaction_here_is_refused(regions: TwoRegions, db: Any, sql: str) -> None:
    db.execute_sql("BEGIN READ ONLY")
    with pytest.raises(fly_orm.NotSupported, match="execute COMMIT or ROLLBACK by itself"):
        db.execute_sql(sql)
    assert count(db) == 1
    db.execute_sql("COMMIT")
    assert regions.query("SELECT count(*) FROM t") == 1


def test_a_transaction_here_can_still_be_given_modes_that_a_replica_has(db: Any) -> None:
    for step in ("BEGIN READ ONLY", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SET LOCAL app.tenant = '1'"):
        db.execute_sql(step)
    assert db.execute_sql("SHOW transaction_isolation").fetchone() == ("repeatable read",)
    db.execute_sql("SAVEPOINT a")
    db.execute_sql("ROLLBACK TO a")
    db.execute_sql("COMMIT")


# Every kind of database


def test_the_users_own_options_are_kept(regions: TwoRegions, db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c app.origin=environment")
    given = laptop(regions, options="-c app.origin=parameter -c default_transaction_read_only=off")
    host, port = (regions.cluster.primary.params(regions.name)[name] for name in ("host", "port"))
    url = f"postgresql://postgres@{str(host).replace('/', '%2F')}:{port}/{regions.name}?options=-c%20app.origin%3Durl"
    by_url = fly_orm.wrap(peewee.PostgresqlDatabase(url), settings=regions.lax_settings(read_only=True))
    for database, expected in ((laptop(regions), "environment"), (given, "parameter"), (by_url, "url")):
        assert database.execute_sql("SHOW app.origin").fetchone() == (expected,)
        assert_closed(database)
        database.execute_sql("RESET ALL")
        assert database.execute_sql("SHOW app.origin").fetchone() == (expected,)
        assert_closed(database)
    close(by_url)


def test_a_pooled_connection_is_read_only_for_each_that_takes_it(regions: TwoRegions, db: Any) -> None:
    pooled = laptop(regions, PooledPostgresqlDatabase, max_connections=1)
    first = pooled.connection()
    for sql in ("SELECT 1", "RESET ALL", "DISCARD ALL", "SELECT switch()"):
        pooled.execute_sql(sql)
        pooled.close()
        pooled.connect()
        assert pooled.connection() is first
        assert_closed(pooled)


def test_a_deferred_database_is_read_only_once_it_is_known(regions: TwoRegions, db: Any) -> None:
    deferred = peewee.PostgresqlDatabase(None)
    fly_orm.wrap(deferred, settings=regions.lax_settings(read_only=True))
    for _ in range(2):
        deferred.init(**named(regions.cluster.primary, regions.name))
        assert is_local(deferred, "SELECT * FROM t")
        assert_closed(deferred)
        deferred.close()
    close(deferred)


def test_a_server_that_hides_the_setting_is_refused(regions: TwoRegions, db: Any) -> None:
    class Pooler(ext.connection):
        def get_parameter_status(self, name: str) -> str | None:
            return None if name == "default_transaction_read_only" else super().get_parameter_status(name)

    with pytest.raises(fly_orm.NotSupported, match="without a connection pooler") as raised:
        laptop(regions, connection_factory=Pooler).connect()
    assert isinstance(raised.value, peewee.NotSupportedError)


# Where the mode does nothing


def test_a_real_replica_is_one_as_ever(regions: TwoRegions, db: Any) -> None:
    regions.cluster.wait_for_replica()
    on_replica = regions.lax(options={"settings": regions.lax_settings(read_only=True)})
    assert is_local(on_replica, "SELECT * FROM t")
    assert not is_local(on_replica, "SELECT hidden()")
    assert count(on_replica) == 2
    on_replica.execute_sql("RESET ALL")
    assert not is_local(on_replica, "SELECT hidden()")
    assert on_replica.execute_sql("SELECT pg_is_in_recovery()").fetchone() == (True,)


@pytest.mark.parametrize(
    ("region", "read_only"), [("syd", True), ("syd", False), ("lax", False)], ids=["syd, on", "syd, off", "lax, off"]
)
def test_in_the_primary_region_and_without_the_mode_a_connection_is_plain(
    regions: TwoRegions, db: Any, region: str, read_only: bool
) -> None:
    plain = fly_orm.wrap(regions.plain(), settings=settings(region, regions.wan.address, read_only=read_only))
    plain.connect()
    before = regions.wan.round_trips
    plain.execute_sql(INSERT, ("here",))
    assert plain.execute_sql("SHOW default_transaction_read_only").fetchone() == ("off",)
    ext.cursor(plain.connection()).execute(INSERT, ("behind the back",))
    assert regions.wan.round_trips == before
    assert regions.query("SELECT count(*) FROM t") == 3


def test_other_connections_with_the_same_parameters_are_not_affected(regions: TwoRegions, db: Any) -> None:
    assert count(db) == 1
    with psycopg2.connect(dbname=regions.name, **db.connect_params) as raw, raw.cursor() as cursor:
        cursor.execute(INSERT, ("raw",))
    raw.close()
    assert count(db) == 2
