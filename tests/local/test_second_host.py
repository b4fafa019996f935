"""A DSN whose second host is the primary: the application goes on while the replica is down, and comes back."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import Any

import peewee
import pytest
from playhouse.pool import PooledPostgresqlDatabase
from pony import orm

import fly_orm
from fly_orm import Route
from fly_orm.local import detour
from fly_orm.lsn import LSN
from fly_orm.position import Position
from fly_orm.testing import Cluster, RoundRobin
from tests.support.pony_regions import pony_in_lax
from tests.support.two_regions import TwoRegions, two_regions
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("_hurry", "_table")

INSERT = "INSERT INTO t (name) VALUES ('x')"
CLASSES = [peewee.PostgresqlDatabase, PooledPostgresqlDatabase]


@pytest.fixture(autouse=True)
def _started(regions: TwoRegions) -> Iterator[None]:
    yield
    regions.cluster.replica.start()


def hosts(regions: TwoRegions, form: str = "parameters") -> dict[str, Any]:
    """The replica first and then the primary, in any of the forms that libpq accepts."""
    servers = regions.cluster.replica, regions.cluster.primary
    names, ports = [server.host for server in servers], [str(server.port) for server in servers]
    if form == "url":
        at = ",".join(f"{name.replace('/', '%2F')}:{port}" for name, port in zip(names, ports, strict=True))
        return {"database": f"postgresql://postgres@{at}/{regions.name}"}
    return {"host": ",".join(names), "port": ",".join(ports)}


def in_lax(regions: TwoRegions, cls: type = peewee.PostgresqlDatabase, form: str = "parameters", **options: Any) -> Any:
    settings = regions.lax_settings(replication_timeout=1)
    if form == "url":
        database = cls(**hosts(regions, form))
        regions.undo.callback(lambda: (database.close(), database._fly_orm.close()))
        return fly_orm.wrap(database, settings=settings, **options)
    return regions.lax(cls, options={"settings": settings, **options}, **hosts(regions))


def count(db: Any) -> int:
    return db.execute_sql("SELECT count(*) FROM t").fetchone()[0]


def works(db: Any, number: int, route: Route) -> int:
    """A request that writes, and finds what it has written; returns how many rows there are then."""
    with db.connection_context():
        assert count(db) == number
        db.execute_sql(INSERT)
        assert count(db) == number + 1
        assert served() is route
        with db.atomic():
            db.execute_sql(INSERT)
            assert count(db) == number + 2
        assert count(db) == number + 2
        assert served() is route
    return number + 2


def served() -> Route:
    event = fly_orm.why()
    assert event is not None
    return event.route


def is_read_locally(db: Any) -> bool:
    with db.connection_context():
        count(db)
        return served() is Route.LOCAL


@pytest.mark.parametrize("form", ["parameters", "url"])
@pytest.mark.parametrize("cls", CLASSES)
def test_peewee_goes_on_at_the_primary_and_comes_back(
    regions: TwoRegions, incidents: Any, cls: type, form: str
) -> None:
    db = in_lax(regions, cls, form)
    number = works(db, 0, Route.LOCAL)
    regions.cluster.replica.stop()
    for _ in range(2):
        number = works(db, number, Route.PRIMARY)
    assert fly_orm.why().server == f"localhost:{regions.cluster.primary.port}"
    assert fly_orm.why().node is None
    assert incidents() == ["WARNING"]
    regions.cluster.replica.start()
    until(lambda: is_read_locally(db))
    works(db, number, Route.LOCAL)
    assert incidents() == ["WARNING", "INFO"]


@pytest.mark.parametrize("cls", CLASSES)
def test_a_connection_that_was_open_fails_once(regions: TwoRegions, cls: type) -> None:
    db = in_lax(regions, cls)
    db.connect()
    count(db)
    regions.cluster.replica.stop()
    with pytest.raises(peewee.OperationalError):
        count(db)
    db.close()
    works(db, 0, Route.PRIMARY)


@pytest.mark.parametrize("cls", CLASSES)
def test_a_write_does_not_need_the_replica(regions: TwoRegions, cls: type) -> None:
    """It is committed by the time the connection turns out to be lost, and must not seem to have failed."""
    db = in_lax(regions, cls)
    works(db, 0, Route.LOCAL)
    for number, block in ((3, contextlib.nullcontext), (4, db.atomic)):
        db.connect()
        count(db)
        regions.cluster.replica.stop()
        with block():
            db.execute_sql(INSERT)
        assert regions.query("SELECT count(*) FROM t") == number
        db.close()
        regions.cluster.replica.start()
        until(lambda: is_read_locally(db))


def test_a_pool_replaces_all_of_its_connections(regions: TwoRegions) -> None:
    """Otherwise those that were opened at the primary would stay there for as long as the process lives."""
    db = in_lax(regions, PooledPostgresqlDatabase)
    regions.cluster.replica.stop()
    both = threading.Barrier(2)

    def work() -> None:
        with db.connection_context():
            both.wait(5)
            count(db)
            both.wait(5)

    other = threading.Thread(target=work)
    other.start()
    work()
    other.join()
    regions.cluster.replica.start()
    until(lambda: is_read_locally(db))
    other = threading.Thread(target=work)
    other.start()
    work()
    other.join()
    assert [connection.instance.port for _, _, connection in db._connections] == [str(regions.cluster.replica.port)] * 2


def test_pony_goes_on_and_comes_back(regions: TwoRegions, incidents: Any) -> None:
    with pony_in_lax(regions, settings=regions.lax_settings(replication_timeout=1), **hosts_for_pony(regions)) as db:
        item = type("Item", (db.Entity,), {"name": orm.Required(str)})
        db.generate_mapping(create_tables=True)
        number = pony_works(item, 0, Route.LOCAL)
        regions.cluster.replica.stop()
        for _ in range(2):
            number = pony_works(item, number, Route.PRIMARY)
        assert incidents() == ["WARNING"]
        regions.cluster.replica.start()

        def is_local() -> bool:
            with orm.db_session:
                orm.count(i for i in item)
            return served() is Route.LOCAL

        until(is_local)
        pony_works(item, number, Route.LOCAL)
        assert incidents() == ["WARNING", "INFO"]


def hosts_for_pony(regions: TwoRegions) -> dict[str, Any]:
    class Both:
        @staticmethod
        def params(name: str) -> dict[str, Any]:
            return {"dbname": name, "user": "postgres", **hosts(regions)}

    return {"server": Both}


def pony_works(item: Any, number: int, route: Route) -> int:
    with orm.db_session:
        assert orm.count(i for i in item) == number
        assert served() is route
        item(name="x")
        orm.flush()
        assert orm.count(i for i in item) == number + 1
    with orm.db_session:
        assert orm.count(i for i in item) == number + 1
        assert served() is route
    return number + 1


def test_pony_writes_though_the_replica_goes_down_in_between(regions: TwoRegions) -> None:
    with pony_in_lax(regions, settings=regions.lax_settings(replication_timeout=1), **hosts_for_pony(regions)) as db:
        item = type("Item", (db.Entity,), {"name": orm.Required(str)})
        db.generate_mapping(create_tables=True)
        with orm.db_session:
            item(name="x")
            orm.flush()
            regions.cluster.replica.stop()
            item(name="y")
        pony_works(item, 2, Route.PRIMARY)


def test_a_session_finds_its_writes_when_it_comes_back(regions: TwoRegions) -> None:
    """They were written over a connection that led to the primary, while the replica was down."""
    db = in_lax(regions)
    regions.cluster.replica.stop()
    number = works(db, 0, Route.PRIMARY)
    direct = db.connection()
    cursor = direct.cursor()
    regions.cluster.replica.start()
    with regions.cluster.replay_paused():
        cursor.execute(INSERT)
        move_to(regions.cluster.replica, db)
        assert count(db) == number + 1
        assert served() is Route.PRIMARY
        cursor.execute(INSERT)  # again, after the session has read over the other connection
        assert count(db) == number + 2
        direct.autocommit = False
        cursor.execute(INSERT)
        regions.cluster.resume_replay()
        until(lambda: (count(db), served() is Route.LOCAL)[1])
        regions.cluster.pause_replay()
        direct.commit()
        assert count(db) == number + 3
        direct.close()


def move_to(server: Any, db: Any) -> None:
    """Let the database open a routing connection to a server, while the one that it has stays open."""
    db._state.reset()
    until(lambda: leads_to(server, db))


def leads_to(server: Any, db: Any) -> bool:
    instance = getattr(db.connection(), "instance", None)
    if instance is None or instance.port != str(server.port):
        db.close()
        return False
    return True


@pytest.mark.parametrize("session", [fly_orm.session, contextlib.nullcontext])
def test_a_token_covers_what_was_written_there(regions: TwoRegions, session: Any) -> None:
    fly_orm.configure(regions.lax_settings())
    db = in_lax(regions)
    regions.cluster.replica.stop()
    works(db, 0, Route.PRIMARY)
    direct = db.connection()
    regions.cluster.replica.start()
    with regions.cluster.replay_paused():
        with session():
            direct.cursor().execute(INSERT)
            move_to(regions.cluster.replica, db)  # so that the last connection of the process leads there
            told = fly_orm.token(reads=False)
        with fly_orm.session():
            fly_orm.resume(told)
            assert count(db) == 3
    direct.close()


def test_a_connection_that_is_kept_for_good_is_warned_of_once(
    regions: TwoRegions, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detour, "PATIENCE", 0.2)
    caplog.set_level(logging.INFO, "fly_orm")
    db = in_lax(regions)
    regions.cluster.replica.stop()
    count(db)
    regions.cluster.replica.start()
    until(lambda: (count(db), "still leads to the primary" in caplog.text)[1])
    count(db)
    assert caplog.text.count("still leads to the primary") == caplog.text.count("can be reached again, after") == 1
    assert served() is Route.PRIMARY


def test_the_check_of_a_pool_is_not_a_read_of_the_session(regions: TwoRegions) -> None:
    db = regions.lax(PooledPostgresqlDatabase, options={"replication_timeout": 0.1})
    with regions.cluster.replay_paused():
        db.connect()
        db.execute_sql(INSERT)
        wrote = fly_orm.why()
        db.close()
        before = regions.wan.round_trips
        db.connect()
        assert regions.wan.round_trips == before
        assert fly_orm.why() is wrote


@pytest.mark.slow
def test_a_session_does_not_miss_what_it_wrote_on_a_promoted_server() -> None:
    """The other server behind the address follows the promoted one, and is late."""
    with Cluster.start() as cluster, two_regions(cluster, "postgres") as regions:
        regions.query("CREATE TABLE t (id serial PRIMARY KEY, name text)")
        cluster.wait_for_replica()
        with RoundRobin(cluster.primary, cluster.replica) as address:
            db = regions.lax(options={"replication_timeout": 0.1}, **address.parameters)
            until(lambda: leads_to(cluster.replica, db))
            promoted = db.connection()
            cluster.promote()
            cluster.demote()
            cluster.primary.query("SELECT pg_wal_replay_pause()")
            with fly_orm.session():
                count(db)  # with its reply, the server reports the promotion
            db.execute_sql(INSERT)
            assert fly_orm.why().why == "the server in this region is the primary"
            move_to(cluster.primary, db)
            with pytest.raises(fly_orm.Refused):  # the node has not heard of the new primary
                count(db)
            promoted.close()


def test_a_region_without_a_replica_reads_on_the_primary(regions: TwoRegions, incidents: Any) -> None:
    db = regions.on(regions.cluster.primary)
    works(db, 0, Route.PRIMARY)
    assert fly_orm.why().why == "the connection leads to the primary itself"
    assert incidents() == []


def test_calls_wait_for_the_replica_again(regions: TwoRegions) -> None:
    """Although what waits for it had reached the primary meanwhile."""
    db = in_lax(regions)
    regions.cluster.replica.stop()
    works(db, 0, Route.PRIMARY)
    assert waits(regions, db) < 0.2
    regions.cluster.replica.start()
    regions.cluster.apply_delay(0.5)
    try:
        until(lambda: waits(regions, db) > 0.2)
    finally:
        regions.cluster.apply_delay(0)


def waits(regions: TwoRegions, db: Any) -> float:
    """Seconds that a call waits for what its function has written, whichever connection is to read it."""
    regions.query(INSERT)
    lsn = LSN.parse(regions.query("SELECT pg_current_wal_flush_lsn()::text"))
    position = Position(lsn, regions.query("SELECT system_identifier FROM pg_control_system()"), 1)
    with fly_orm.session():
        return float(db._fly_orm.freshness.wait(position).seconds)
