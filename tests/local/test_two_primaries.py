"""After a promotion the old primary is still alive, with a node on it. Callers who know better leave it alone."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from io import StringIO

import peewee
import pytest
from playhouse.pool import PooledPostgresqlDatabase

import fly_orm
from fly_orm import NotPrimary, resume, session, token
from fly_orm.position import History
from fly_orm.sessions.activity import Activity
from fly_orm.testing import Cluster, RoundRobin
from fly_orm.topology import Node
from tests.support.two_regions import close, named, settings
from tests.support.waiting import until

pytestmark = pytest.mark.slow


class Split:
    """A database on two primaries, both of which have a node of syd, and a replica of the old one in ams."""

    def __init__(self, cluster, undo):
        cluster.create_database("shop")
        self.query(cluster.primary, "CREATE TABLE item (name text)")
        self.cluster, self._undo = cluster, undo
        self.ams = cluster.add_replica()
        cluster.wait_for_replica()
        self.old, self.new = self._serve(cluster.primary), self._serve(cluster.replica)
        cluster.promote()

    @staticmethod
    def query(server, sql):
        with server.connect("shop") as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()[0] if cursor.description else None

    def wrapped(self, server, region, *addresses, cls=peewee.PostgresqlDatabase, **options):
        """A database of a process in a region, which knows nodes of syd at these addresses."""
        nodes = {"syd": tuple(Node(region="syd", address=address) for address in addresses)}
        db = fly_orm.wrap(
            cls(**named(server, "shop")),
            settings=settings(region, nodes=nodes, replication_timeout=0.2),
            **options,
        )
        self._undo.callback(close, db)
        return db

    def in_ams(self, *addresses, **options):
        return self.wrapped(self.ams, "ams", *addresses, **options)

    def _serve(self, server):
        serving = fly_orm.serve(self.wrapped(server, "syd"), listen="127.0.0.1:0", settings=settings("syd"))
        self._undo.callback(serving.close)
        return serving.address

    def promote_ams(self, db):
        """Promote the replica in ams, and wait until a database of ams knows."""
        self.ams.query("SELECT pg_promote(true, 60)")
        until(lambda: db.execute_sql("SELECT pg_is_in_recovery()").fetchone() == (False,))

    def written(self, server):
        return self.query(server, "SELECT count(*) FROM item")


@pytest.fixture
def split():
    with ExitStack() as undo, Cluster.start() as cluster:
        fly_orm.configure(settings("ams"))
        with undo:
            yield Split(cluster, undo)


def insert(db, name="a"):
    db.execute_sql("INSERT INTO item VALUES (%s)", (name,))


def errors(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


class TestAProcessThatHasSeenTheNewTimeline:
    def test_is_served_by_the_new_primary_alone(self, split, caplog):
        db = split.in_ams(split.old, split.new)
        learn(db, split)
        for number in range(20):
            insert(db, f"i{number}")
            assert db.execute_sql("SELECT count(*) FROM item WHERE name = %s", (f"i{number}",)).fetchone() == (1,)
            assert fly_orm.why().node.endswith(split.new)
        (error,) = errors(caplog)
        assert f"there is timeline 2, which was seen at the primary of syd={split.new}" in error
        assert f"timeline 1 at localhost:{split.cluster.primary.port}" in error
        assert f"the server of syd={split.old}" in error

    @pytest.mark.parametrize("write", ["statement", "transaction", "COPY", "read"])
    def test_is_declined_by_the_old_one_before_anything_runs(self, split, write):
        db = split.in_ams(split.old)
        learn(db, split)
        with pytest.raises(NotPrimary, match=r"timeline 1.*has seen timeline 2"):
            _write(db, write)
        assert split.written(split.cluster.primary) == 0

    def test_has_no_function_run_on_the_old_one(self, split):
        learn(split.in_ams(split.old), split)
        fly_orm.configure(settings("ams", split.old))
        with pytest.raises(NotPrimary, match=r"timeline 1.*has seen timeline 2"):
            count_items()

    def test_finishes_a_transaction_that_began_on_the_old_one(self, split):
        db = split.in_ams(split.old)
        with db.atomic():
            insert(db)
            learn(db, split)
            insert(db)
        assert split.written(split.cluster.primary) == 2


class TestASessionThatContinuesFromTheNewTimeline:
    def test_is_declined_by_the_old_primary(self, split):
        with session():
            insert(split.in_ams(split.new))
            told = token()
        db = split.in_ams(split.old)
        with session():
            resume(told)
            with pytest.raises(NotPrimary, match=r"on timeline 1.*timeline 2"):
                insert(db)


class TestAConnectionToAServerThatTakesWrites:
    @pytest.mark.parametrize("promoted", [False, True])
    def test_leaves_it_once_it_was_superseded(self, split, promoted):
        """It was opened while the server was the primary, or before it was promoted."""
        db = split.in_ams(split.old) if promoted else split.wrapped(split.cluster.primary, "ams", split.old)
        db.connect()
        if promoted:
            split.promote_ams(db)
        insert(db)
        (seen,) = db._fly_orm.fence.newest("shop")
        db._fly_orm.fence.saw("shop", History(seen.system, seen.timeline + 1), "elsewhere")
        with pytest.raises(fly_orm.ConfigurationError, match=rf"on timeline {seen.timeline}.*nothing was executed"):
            insert(db)

    @pytest.mark.parametrize("opened_before", [False, True])
    def test_tells_of_the_timeline_of_a_promoted_one(self, split, opened_before):
        """An older primary may not serve what a session has read there."""
        db = split.in_ams(split.old)
        if opened_before:
            db.connect()
        split.promote_ams(db)
        insert(db)
        (seen,) = db._fly_orm.fence.newest("shop")
        assert seen.timeline == 2

    def test_has_its_position_asked_of_the_newest_primary(self, split):
        """The address leads to the old primary, too, and to a replica."""
        with RoundRobin(split.cluster.primary, split.ams, split.cluster.replica) as address:
            db = split.in_ams(split.new)
            insert(db)  # through a node, so that the new timeline is known
            db.connect_params.update(address.parameters)
            for _ in range(3):
                assert db._fly_orm.local.primary.position("shop", Activity(wrote=True)).timeline == 2
                db._fly_orm.local.primary.close()


class TestAReplicaThatFollowsTheNewTimeline:
    def test_is_enough_to_know_better(self, split):
        split.cluster.follow(split.ams, split.cluster.replica)
        until(lambda: split.query(split.ams, "SELECT received_tli FROM pg_stat_get_wal_receiver()") == 2)
        with pytest.raises(NotPrimary, match="has seen timeline 2"):
            insert(split.in_ams(split.old))
        assert split.written(split.cluster.primary) == 0


class TestAProcessThatKnowsNothing:
    def test_reports_the_older_timeline_when_it_meets_it(self, split, caplog):
        db = split.in_ams(split.old)
        insert(db)
        db.close()
        learn(db, split)
        with pytest.raises(NotPrimary):
            insert(db)
        assert "there is timeline 2" in errors(caplog)[0]


@fly_orm.on_primary
def count_items():
    raise AssertionError("this runs nowhere")


def learn(db, split):
    """Let the process of this database meet the new primary."""
    router = db._fly_orm
    other = split.in_ams(split.new)
    insert(other)
    (seen,) = other._fly_orm.forwarder.fence.newest("shop")
    router.forwarder.fence.saw("shop", seen, f"at the primary of syd={split.new}")


def _write(db, how):
    match how:
        case "statement":
            insert(db)
        case "transaction":
            with db.atomic():
                insert(db)
        case "COPY":
            with db.connection().cursor() as cursor:
                cursor.copy_expert("COPY item FROM STDIN", StringIO("a\n"))
        case "read":
            with fly_orm.primary():
                db.execute_sql("SELECT * FROM item")


class TestAProcessOnTheOldPrimary:
    """A process of syd uses its server directly, and no node can decline for it."""

    @pytest.fixture
    def told(self, split):
        """The token of a session that has written to the new primary."""
        with session():
            insert(split.in_ams(split.new))
            return token()

    def test_writes_nothing_more_once_a_token_tells_it_of_the_new_one(self, split, told, caplog):
        db = split.wrapped(split.cluster.primary, "syd")
        insert(db)
        with session():
            resume(told)
            with pytest.raises(NotPrimary, match="was the primary before a failover"):
                insert(db)
            db.close()
            with pytest.raises(NotPrimary, match="was the primary before a failover"):
                insert(db)
        assert split.written(split.cluster.primary) == 1
        (error,) = errors(caplog)
        assert "there is timeline 2, which this session has seen, and the older timeline 1 at" in error

    def test_goes_on_for_other_sessions(self, split, told):
        """The token may tell of a promotion that was undone."""
        db = split.wrapped(split.cluster.primary, "syd")
        with session():
            resume(told)
            with pytest.raises(NotPrimary):
                insert(db)
        with session():
            insert(db)
        assert split.written(split.cluster.primary) == 1

    def test_has_its_pool_replace_the_connection(self, split, told):
        db = split.wrapped(split.cluster.primary, "syd", cls=PooledPostgresqlDatabase)
        with session(), db.connection_context():
            resume(told)
            with pytest.raises(NotPrimary):
                insert(db)
            old = db.connection()
        with session(), db.connection_context():
            insert(db)
            assert db.connection() is not old

    def test_finishes_the_transaction_that_is_open(self, split, told):
        db = split.wrapped(split.cluster.primary, "syd")
        with db.atomic():
            insert(db)
            resume(told)
            insert(db)
        assert split.written(split.cluster.primary) == 2

    def test_goes_on_if_the_token_tells_of_nothing_newer(self, split):
        with session():
            insert(split.in_ams(split.old))
            told = token()
        db = split.wrapped(split.cluster.primary, "syd")
        db.execute_sql("SELECT 1")
        resume(told)
        insert(db)
        assert split.written(split.cluster.primary) == 2
