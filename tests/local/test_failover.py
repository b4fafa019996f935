"""Servers change their roles, and every session still sees what it has written. ``pg_is_in_recovery()`` decides."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager

import peewee
import psycopg2
import pytest
from msgspec.structs import replace
from psycopg2 import extensions as ext

import fly_orm
from fly_orm import LSN, NotPrimary, Route, resume, session, token
from fly_orm.deadline import now
from fly_orm.protocol.encoding import encode
from fly_orm.sessions.context import current
from fly_orm.testing import Cluster
from fly_orm.tokens.signing import sign
from fly_orm.topology import Node
from tests.support.two_regions import SECRETS, close, named, settings, two_regions
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_spare_channels")]

TABLE = "CREATE TABLE item (id serial PRIMARY KEY, name text UNIQUE)"
PATIENCE = 20.0


@pytest.fixture
def failing_over():
    """A cluster of the test's own, both of whose servers have the table."""
    with Cluster.start() as cluster:
        cluster.create_database("shop")
        with cluster.primary.connect("shop") as connection, connection.cursor() as cursor:
            cursor.execute(TABLE)
            cursor.execute(
                "CREATE FUNCTION put(text) RETURNS void LANGUAGE sql AS 'INSERT INTO item (name) VALUES ($1)'"
            )
        cluster.wait_for_replica()
        yield cluster


def swap_roles(cluster):
    """Let the replica take over from the primary, which follows it from then on."""
    cluster.primary.stop()
    cluster.promote()
    cluster.demote()


def insert(db, name):
    db.execute_sql("INSERT INTO item (name) VALUES (%s)", (name,))


def names(db):
    return " ".join(name for (name,) in db.execute_sql("SELECT name FROM item ORDER BY id").fetchall())


@contextmanager
def wrapped(server, region, *addresses, **options):
    """A database of a process in a region, which knows nodes of syd at these addresses."""
    db = peewee.PostgresqlDatabase(**named(server, "shop"))
    nodes = {"syd": tuple(Node(region="syd", address=address) for address in addresses)}
    fly_orm.wrap(db, settings=settings(region, nodes=nodes), **options)
    try:
        yield db
    finally:
        close(db)


@contextmanager
def node(server):
    """The address of a node of syd on a server."""
    with (
        wrapped(server, "syd") as db,
        fly_orm.serve(db, listen="127.0.0.1:0", settings=settings("syd")) as serving,
    ):
        yield serving.address


class TestARegionWithoutAReplica:
    def test_writes_and_reads_directly_on_the_primary_that_it_connects_to(self, failing_over):
        with two_regions(failing_over, "shop") as regions, wrapped(failing_over.primary, "lax") as db:
            insert(db, "a")
            with db.atomic():
                insert(db, "b")
                assert names(db) == "a b"
            with fly_orm.primary():
                assert names(db) == "a b"
            assert regions.wan.round_trips == 0

    def test_tells_others_what_it_has_written(self, failing_over):
        fly_orm.configure(settings("lax"))
        with (
            node(failing_over.primary) as address,
            wrapped(failing_over.primary, "ams") as near,
            wrapped(failing_over.replica, "lax", address, replication_timeout=0.2) as db,
            failing_over.replay_paused(),
        ):
            with session():
                insert(near, "a")
                told = token(reads=False)
            with session():
                resume(told)
                assert names(db) == "a"
                assert fly_orm.why().route is Route.PRIMARY


class TestAReplicaThatIsPromoted:
    def test_takes_the_writes_from_then_on_and_tells_others(self, failing_over):
        fly_orm.configure(settings("lax"))
        with node(failing_over.primary) as address, wrapped(failing_over.replica, "lax", address) as db, session():
            insert(db, "a")
            first = current().watermarks.known("shop")
            failing_over.primary.stop()
            failing_over.promote()
            until(lambda: db.connection().get_parameter_status("in_hot_standby") == "off" or names(db) is None)
            with session():
                db.execute_sql("SELECT put('b')")
                assert token(reads=False) != ""
            insert(db, "c")
            assert names(db) == "a b c"
            assert token(reads=False) != ""
            second = current().watermarks.known("shop")
            assert (first.system, first.timeline, second.timeline) == (second.system, 1, 2)


class TestADemotedPrimary:
    def test_is_passed_over_by_who_finds_the_new_one(self, failing_over):
        with ExitStack() as stack:
            old = stack.enter_context(node(failing_over.primary))
            db = stack.enter_context(wrapped(failing_over.primary, "lax", old))
            insert(db, "a")
            db.close()
            failing_over.wait_for_replica()
            swap_roles(failing_over)
            db = stack.enter_context(wrapped(failing_over.primary, "lax", old))
            with pytest.raises(NotPrimary, match="is a replica"):
                insert(db, "b")
            new = stack.enter_context(node(failing_over.replica))
            db = stack.enter_context(wrapped(failing_over.primary, "lax", old, new))
            for name in "cde":
                insert(db, name)
                assert names(db).endswith(name)
            assert fly_orm.why().route is Route.LOCAL


class TestAReplicaThatRestarts:
    def test_keeps_no_write_from_returning_and_is_read_again_afterwards(self, failing_over):
        with (
            node(failing_over.primary) as address,
            wrapped(failing_over.replica, "lax", address, replication_timeout=0.5) as db,
        ):
            for name in "abc":
                insert(db, name)
                failing_over.replica.restart("immediate")
                db.close()
                with session():
                    insert(db, name * 2)
                    assert names(db).endswith(name * 2)
            insert(db, "d")
            assert names(db).endswith("d")
            assert fly_orm.why().route is Route.LOCAL

    def test_does_not_keep_a_write_over_an_open_connection_from_returning_its_rows(self, failing_over):
        with (
            node(failing_over.primary) as address,
            wrapped(failing_over.replica, "lax", address, replication_timeout=0.5) as db,
        ):
            insert(db, "a")
            failing_over.replica.stop("immediate")
            cursor = db.execute_sql("INSERT INTO item (name) VALUES ('b'), ('c') RETURNING name")
            while not db.connection().closed:  # the driver may notice with the second error only
                with pytest.raises(psycopg2.DatabaseError):
                    ext.cursor(db.connection()).execute("SELECT 1")
            assert cursor.fetchone() == ("b",)
            assert cursor.fetchall() == [("c",)]


@pytest.fixture(params=["superuser", "ordinary role"])
def reader(request, failing_over):
    """Who the application is: an ordinary role is not told everything about its replica."""
    if request.param == "superuser":
        return "postgres"
    failing_over.primary.query("CREATE ROLE app LOGIN IN ROLE pg_write_all_data, pg_read_all_data")
    failing_over.primary.query("ALTER DATABASE shop OWNER TO app")
    failing_over.wait_for_replica()
    return "app"


class TestAnotherTimeline:
    """The primary fails over to the replica, and becomes a replica of it."""

    def test_is_followed_by_a_replica_that_has_not_gone_its_own_way(self, failing_over, reader):
        swap_roles(failing_over)
        with (
            node(failing_over.replica) as address,
            wrapped(failing_over.primary, "lax", address, replication_timeout=5) as db,
        ):
            db.connect_params["user"] = reader
            for name in "abc":
                insert(db, name)
                assert names(db).endswith(name)
            if reader != "postgres":  # it hears of the timeline with the next restartpoint
                failing_over.replica.query("CHECKPOINT")
                until(lambda: follows(failing_over.primary))
                until(lambda: names(db) == "a b c" and fly_orm.why().route is Route.LOCAL)
            assert fly_orm.why().route is Route.LOCAL

    def test_is_never_shown_by_a_replica_that_has(self, failing_over, reader):
        """Its replay LSN is later than what it is waited for, and yet it shows nothing of it."""
        failing_over.promote()
        for _ in range(100):
            failing_over.primary.query("SELECT pg_logical_emit_message(true, 'apart', repeat('x', 10000))")
        failing_over.demote()
        with (
            node(failing_over.replica) as address,
            wrapped(failing_over.primary, "lax", address, replication_timeout=30) as db,
        ):
            db.connect_params["user"] = reader
            started = now()
            for name in "abc":
                insert(db, name)
                assert names(db).endswith(name)
                assert fly_orm.why().route is Route.PRIMARY
            assert now() - started < 25

    def test_makes_a_token_of_the_old_one_cost_one_read_on_the_primary(self, failing_over):
        """If it tells of what was lost, which nobody waits for; what was kept is found as ever."""
        fly_orm.configure(settings("lax"))
        with wrapped(failing_over.primary, "syd") as db, session():
            insert(db, "kept")
            kept = token(reads=False)
            ((database, position),) = current().watermarks.positions().items()
        lost = sign(encode([{database: replace(position, lsn=LSN(position.lsn + 2**40))}]), SECRETS)
        failing_over.wait_for_replica()
        swap_roles(failing_over)
        with (
            node(failing_over.replica) as address,
            wrapped(failing_over.primary, "lax", address, replication_timeout=30) as db,
        ):
            insert(db, "new")
            for told, first in ((kept, Route.LOCAL), (lost, Route.PRIMARY)):
                with session():
                    started = now()
                    resume(told)
                    assert names(db) == "kept new"
                    assert fly_orm.why().route is first
                    until(lambda: names(db) == "kept new" and fly_orm.why().route is Route.LOCAL)
                    assert now() - started < 25


def follows(server):
    """Whether a replica knows by itself that it is on the second timeline."""
    server.query("CHECKPOINT")
    return server.query("SELECT timeline_id FROM pg_control_checkpoint()") == 2
