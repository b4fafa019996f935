"""The address of a secondary region leads to a server that takes writes, and it may not be the primary."""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from io import StringIO

import peewee
import psycopg2
import pytest
from playhouse.pool import PooledPostgresqlDatabase
from pony import orm

import fly_orm
from fly_orm import ConfigurationError, NotDelivered, NotPrimary, Route, session
from fly_orm.driver.direct import DirectConnection
from fly_orm.topology import Node
from tests.support.kept_clusters import KeptCluster
from tests.support.two_regions import close, named, settings
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_spare_channels")]

TABLE = "CREATE TABLE item (id serial PRIMARY KEY, name text)"


@pytest.fixture(scope="module")
def systems():
    """Two database systems."""
    both = KeptCluster(), KeptCluster()
    yield both
    for each in both:
        each.close()


@pytest.fixture
def cluster(systems):
    with systems[0].lent(prepare, "shop") as made:
        yield made


@pytest.fixture
def other(systems):
    """Another system, whose primary has the same tables."""
    with systems[1].lent(prepare, "shop") as made:
        yield made


def prepare(cluster):
    cluster.create_database("shop")
    with cluster.primary.connect("shop") as connection, connection.cursor() as cursor:
        cursor.execute(TABLE)
    cluster.wait_for_replica()


@pytest.fixture
def undo():
    with ExitStack() as stack:
        yield stack


def rows(server):
    with server.connect("shop") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM item")
        return cursor.fetchone()[0]


def insert(db, name="a"):
    db.execute_sql("INSERT INTO item (name) VALUES (%s)", (name,))


def wrap(undo, server, region="lax", **addresses):
    """A database of a process in a region, which knows nodes at these addresses, by region."""
    nodes = {name: (Node(region=name, address=address),) for name, address in addresses.items()}
    db = fly_orm.wrap(peewee.PostgresqlDatabase(**named(server, "shop")), settings=settings(region, nodes=nodes))
    undo.callback(close, db)
    return db


def serve(undo, server, region="syd", **addresses):
    """A node of a region on a server; it can be closed."""
    db = wrap(undo, server, region, **addresses)
    serving = fly_orm.serve(db, listen="127.0.0.1:0", settings=settings(region))
    undo.callback(serving.close)
    return serving


def fork(cluster):
    """A server that began as a replica of the primary, and was then started on its own, on the same timeline."""
    copy = cluster.add_replica()
    copy.stop()
    (copy.data / "standby.signal").unlink()
    copy.start()
    return copy


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def ponies(undo, server, address):
    """Pony's insert, in the same place."""
    db = fly_orm.wrap(orm.Database(), settings=settings("lax", address))
    undo.callback(db._fly_orm.close)
    undo.callback(db.disconnect)

    def write():
        db.bind("postgres", **named(server, "shop"))
        with orm.db_session:
            db.execute("INSERT INTO item (name) VALUES ('a')")

    return write


class TestAnotherSystem:
    @pytest.mark.parametrize("how", ["insert", "atomic", "COPY", "raw connection", "read", "pony"])
    def test_is_not_written(self, cluster, other, undo, how):
        address = serve(undo, cluster.primary).address
        db = wrap(undo, other.primary, syd=address)
        with pytest.raises(ConfigurationError, match=r"another database system .* than .* the server of syd="):
            ponies(undo, other.primary, address)() if how == "pony" else _use(db, how)
        assert rows(other.primary) == rows(cluster.primary) == 0

    def test_is_an_error_of_the_driver_too(self, cluster, other, undo, caplog):
        db = wrap(undo, other.primary, syd=serve(undo, cluster.primary).address)
        for _ in range(3):
            with pytest.raises(psycopg2.OperationalError):
                insert(db)
        assert len(warnings(caplog)) == 1

    def test_is_not_written_by_its_node_for_others_either(self, cluster, other, undo):
        syd = serve(undo, cluster.primary).address
        lax = serve(undo, other.primary, "lax", syd=syd).address
        db = wrap(undo, cluster.replica, "ams", syd=lax)
        with pytest.raises(NotPrimary, match=r"misconfigured.*another database system"):
            insert(db)
        assert rows(other.primary) == 0

    def test_is_found_out_by_a_node_on_a_replica_as_well(self, cluster, other, undo):
        ams = serve(undo, cluster.replica, "ams").address
        with pytest.raises(ConfigurationError, match="another database system"):
            insert(wrap(undo, other.primary, ams=ams))


class TestAReplicaOfAnotherSystem:
    def test_is_reported_once_somebody_has_written(self, cluster, other, undo, caplog):
        db = wrap(undo, other.replica, syd=serve(undo, cluster.primary).address)
        for _ in range(3):
            insert(db)
            assert db.execute_sql("SELECT count(*) FROM item").fetchone() == (rows(cluster.primary),)
        (warning,) = warnings(caplog)
        assert "this region's replica of 'shop' belongs to another system" in warning


class TestACopyOfThePrimary:
    def test_is_not_written(self, cluster, undo):
        db = wrap(undo, fork(cluster), syd=serve(undo, cluster.primary).address)
        with pytest.raises(ConfigurationError, match=r"copy of the primary .* on the same timeline"):
            insert(db)

    def test_is_not_taken_for_the_primary_because_a_replica_is_on_the_same_timeline(self, cluster, undo):
        copy = fork(cluster)
        db = wrap(undo, copy, ams=serve(undo, cluster.replica, "ams").address)
        with pytest.raises(NotDelivered):
            insert(db)
        assert rows(copy) == 0

    def test_is_not_taken_for_the_primary_because_it_has_a_replica_of_its_own(self, cluster, undo):
        copy = fork(cluster)
        cluster.follow(cluster.add_replica(), copy)
        syd = serve(undo, cluster.primary)
        syd.close()
        db = wrap(undo, copy, syd=syd.address, ams=serve(undo, cluster.replica, "ams").address)
        with pytest.raises(NotDelivered, match="is a replica"):
            insert(db)
        assert rows(copy) == 0


class TestOtherRegionsThatAreMisconfiguredToo:
    def test_confirm_nothing(self, cluster, other, undo):
        """Two regions have the same wrong address, while the primary region's node is away."""
        syd = serve(undo, cluster.primary)
        syd.close()
        ams = serve(undo, other.primary, "ams", syd=syd.address)
        db = wrap(undo, other.primary, syd=syd.address, ams=ams.address)
        with pytest.raises((NotPrimary, NotDelivered)):
            insert(db)
        assert rows(other.primary) == 0

    def test_do_not_keep_others_from_the_primary(self, cluster, other, undo):
        """The address of ams is wrong, and that of lax is right."""
        ams = serve(undo, other.replica, "ams")
        db = wrap(undo, cluster.primary, syd=serve(undo, cluster.primary).address, ams=ams.address)
        insert(db)
        assert rows(cluster.primary) == 1

    def test_are_not_believed_for_ever(self, cluster, other, undo, monkeypatch):
        monkeypatch.setattr("fly_orm.routing.primary_check.RETRY_INTERVAL", 0.0)
        syd = serve(undo, cluster.primary)
        syd.close()
        db = wrap(undo, cluster.primary, syd=syd.address, ams=serve(undo, other.replica, "ams").address)
        with pytest.raises(ConfigurationError):
            insert(db)
        again = fly_orm.serve(wrap(undo, cluster.primary, "syd"), listen=syd.address, settings=settings("syd"))
        undo.callback(again.close)
        until(lambda: _succeeds(db))
        assert rows(cluster.primary) == 1


class TestASupersededPrimary:
    def test_is_not_written(self, cluster, undo):
        serving = serve(undo, cluster.replica)
        cluster.promote()
        with pytest.raises(ConfigurationError, match="was the primary before a failover"):
            insert(wrap(undo, cluster.primary, syd=serving.address))
        assert rows(cluster.primary) == 0


class TestThePrimaryItself:
    def test_is_written_directly_with_one_warning(self, cluster, undo, caplog):
        db = wrap(undo, cluster.primary, syd=serve(undo, cluster.primary).address)
        for _ in range(3):
            insert(db)
            db.close()
        assert rows(cluster.primary) == 3
        (warning,) = warnings(caplog)
        assert "is the primary itself" in warning

    def test_is_written_where_no_nodes_are_known(self, cluster, undo, caplog):
        insert(wrap(undo, cluster.primary))
        (warning,) = [text for text in warnings(caplog) if "takes writes" in text]
        assert "no node of any region is known" in warning

    def test_is_written_again_after_it_restarted(self, cluster, undo):
        db = wrap(undo, cluster.primary, syd=serve(undo, cluster.primary).address)
        insert(db)
        cluster.primary.restart("immediate")
        db.close()
        insert(db)
        assert rows(cluster.primary) == 2


class TestAReplicaThatWasPromoted:
    def test_is_written_directly(self, cluster, undo, caplog):
        syd = serve(undo, cluster.primary).address
        cluster.promote()
        insert(wrap(undo, cluster.replica, syd=syd))
        assert rows(cluster.replica) == 1
        assert "was promoted" in warnings(caplog)[0]

    def test_is_written_over_a_connection_that_was_open(self, cluster, undo):
        db = wrap(undo, cluster.replica, syd=serve(undo, cluster.primary).address)
        insert(db)
        cluster.wait_for_replica()
        promote(cluster, db)
        insert(db)
        with db.atomic():
            insert(db)
        assert rows(cluster.replica) == 3

    def test_is_written_by_a_process_that_knew_it_before_although_no_node_answers(self, cluster, undo):
        serving = serve(undo, cluster.primary)
        db = wrap(undo, cluster.replica, syd=serving.address)
        insert(db)
        cluster.wait_for_replica()
        serving.close()
        promote(cluster, db)
        insert(db)
        db.close()
        insert(db)
        assert rows(cluster.replica) == 3

    def test_is_known_by_the_replicas_that_follow_it(self, cluster, undo):
        serving = serve(undo, cluster.primary)
        cluster.primary.stop()
        cluster.promote()
        cluster.demote()
        until(lambda: cluster.replica.query("SELECT count(*) = 1 FROM pg_stat_get_wal_senders()"))
        insert(wrap(undo, cluster.replica, syd=serving.address))

    def test_is_confirmed_by_a_node_of_its_own_region(self, cluster, undo):
        serving = serve(undo, cluster.primary)
        lax = serve(undo, cluster.replica, "lax", syd=serving.address)
        ams = cluster.add_replica()
        cluster.promote()
        insert(wrap(undo, ams, "ams", syd=lax.address), "lets lax find out")
        serving.close()
        insert(wrap(undo, cluster.replica, syd=serving.address, lax=lax.address))


class TestWhileNoNodeCanTell:
    @pytest.fixture
    def undecided(self, cluster, undo):
        """A database on the primary itself, and a node that has stopped."""
        serving = serve(undo, cluster.primary)
        serving.close()
        return wrap(undo, cluster.primary, syd=serving.address), serving.address

    def test_reads_run_here(self, undecided, caplog):
        db, _ = undecided
        assert db.execute_sql("SELECT count(*) FROM item").fetchone() == (0,)
        assert fly_orm.why().route is Route.LOCAL
        (warning,) = [warning for warning in warnings(caplog) if "could not be reached" not in warning]
        assert "no node can tell whether it is the primary" in warning
        assert "set PRIMARY_REGION=lax" in warning

    @pytest.mark.parametrize("how", ["insert", "atomic", "COPY"])
    def test_nothing_is_written(self, cluster, undecided, how):
        db, _ = undecided
        with pytest.raises(NotDelivered):
            _use(db, how)
        assert rows(cluster.primary) == 0

    def test_functions_called_by_a_read_write_nothing_either(self, cluster, undecided):
        with cluster.primary.connect("shop") as connection, connection.cursor() as cursor:
            cursor.execute("CREATE FUNCTION put() RETURNS void LANGUAGE sql AS 'INSERT INTO item (name) VALUES (1)'")
        db, _ = undecided
        with pytest.raises(NotDelivered):
            db.execute_sql("SELECT put()")
        assert rows(cluster.primary) == 0

    def test_a_later_connection_writes_once_a_node_is_back(self, cluster, undo, undecided, monkeypatch):
        monkeypatch.setattr("fly_orm.routing.primary_check.RETRY_INTERVAL", 0.0)
        db, address = undecided
        with pytest.raises(NotDelivered):
            insert(db)
        serving = fly_orm.serve(wrap(undo, cluster.primary, "syd"), listen=address, settings=settings("syd"))
        undo.callback(serving.close)
        with session():
            insert(db)
            assert db.execute_sql("SELECT count(*) FROM item").fetchone() == (1,)
            assert fly_orm.why().route is Route.PRIMARY
        until(lambda: _is_checked(db))
        insert(db)
        assert fly_orm.why().why == "the connection leads to the primary itself"

    def test_a_pool_replaces_its_connections_once_a_node_is_back(self, cluster, undo, undecided, monkeypatch):
        monkeypatch.setattr("fly_orm.routing.primary_check.RETRY_INTERVAL", 0.0)
        _, address = undecided
        pool = PooledPostgresqlDatabase(**named(cluster.primary, "shop"))
        fly_orm.wrap(pool, settings=settings("lax", address))
        undo.callback(close, pool)
        with pool.connection_context():
            pool.execute_sql("SELECT 1")
        undo.callback(fly_orm.serve(wrap(undo, cluster.primary, "syd"), listen=address, settings=settings("syd")).close)
        until(lambda: _is_checked(pool))


def promote(cluster, db):
    """Promote the replica, and wait until the database's open connection has heard of it."""
    cluster.promote()
    until(lambda: db.connection().get_parameter_status("in_hot_standby") == "off" or _touch(db))


def _touch(db):
    db.execute_sql("SELECT 1")


def _is_checked(db):
    """Whether the next connection is used as one to the primary."""
    db.close()
    db.connect()
    return isinstance(db.connection(), DirectConnection)


def _succeeds(db):
    try:
        insert(db)
    except fly_orm.FlyOrmError:
        return False
    return True


@contextmanager
def _cursor(db):
    with db.connection().cursor() as cursor:
        yield cursor


def _use(db, how):
    match how:
        case "insert":
            insert(db)
        case "read":
            db.execute_sql("SELECT count(*) FROM item")
        case "atomic":
            with db.atomic():
                insert(db)
        case "COPY":
            with _cursor(db) as cursor:
                cursor.execute("SELECT 1")
                cursor.copy_expert("COPY item (name) FROM STDIN", StringIO("a\n"))
        case "raw connection":
            with _cursor(db) as cursor:
                cursor.execute("INSERT INTO item (name) VALUES ('a')")
