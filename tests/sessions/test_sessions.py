"""What a session has seen, when it waits, and who else takes part in it."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor

import peewee
import pytest

import fly_orm
from fly_orm import ConfigurationError, ReplicationTimeout, Route
from fly_orm.sessions.context import current
from tests.support.hurrying import hurried
from tests.support.waiting import once_waited_for

pytestmark = pytest.mark.over_every_transport


@pytest.fixture
def db(regions):
    regions.query("CREATE TABLE item (id serial PRIMARY KEY, name text UNIQUE)")
    regions.cluster.wait_for_replica()
    return regions.lax()


def insert(db, name):
    return db.execute_sql("INSERT INTO item (name) VALUES (%s) RETURNING id", (name,))


def names(db):
    rows = db.execute_sql("SELECT name FROM item ORDER BY id").fetchall()
    return [name for (name,) in rows]


def resumed_later(regions):
    timer = threading.Timer(0.3, regions.cluster.resume_replay)
    timer.start()
    return timer


class TestWaiting:
    def test_at_the_next_read_lets_many_writes_pay_once(self, regions, db):
        with regions.cluster.replay_paused(), fly_orm.wait_for("read"):
            for number in range(10):
                insert(db, str(number))
                assert fly_orm.why().wait == 0
            with once_waited_for(regions.cluster.resume_replay):
                assert len(names(db)) == 10
            read = fly_orm.why()
            assert (read.route, read.wait > 0.1) == (Route.LOCAL, True)
            assert len(names(db)) == 10
            assert fly_orm.why().wait == 0

    def test_at_the_next_read_goes_on_after_the_block(self, regions, db):
        with regions.cluster.replay_paused():
            with fly_orm.wait_for("read"):
                insert(db, "a")
            resumed = resumed_later(regions)
            assert names(db) == ["a"]
            assert fly_orm.why().route is Route.LOCAL
            resumed.join()

    def test_at_the_next_read_that_takes_too_long_reads_from_the_primary(self, regions):
        lax = regions.lax(options={"wait": "read", "replication_timeout": 0.2})
        regions.query("CREATE TABLE item (id serial PRIMARY KEY, name text UNIQUE)")
        regions.cluster.wait_for_replica()
        with regions.cluster.replay_paused():
            insert(lax, "a")
            assert names(lax) == ["a"]
            served = fly_orm.why()
            assert (served.route, served.wait >= 0.2) == (Route.PRIMARY, True)
        regions.cluster.wait_for_replica()
        assert names(lax) == ["a"]
        assert fly_orm.why().wait == 0

    def test_never_reads_what_is_there(self, regions, db):
        with regions.cluster.replay_paused(), fly_orm.wait_for("none"):
            insert(db, "a")
            assert names(db) == []

    def test_is_what_the_innermost_block_says(self, regions, db):
        with regions.cluster.replay_paused(), fly_orm.wait_for("none"):
            with fly_orm.wait_for("read"):
                insert(db, "a")
            insert(db, "b")
            resumed = resumed_later(regions)
            assert names(db)[:1] == ["a"]
            resumed.join()

    def test_is_for_a_transaction_as_a_whole(self, regions, db):
        with regions.cluster.replay_paused(), fly_orm.wait_for("read"):
            with db.atomic():
                insert(db, "a")
                insert(db, "b")
            resumed = resumed_later(regions)
            assert names(db) == ["a", "b"]
            resumed.join()

    def test_for_anything_else_is_refused(self):
        with pytest.raises(ConfigurationError, match=r"wait_for\(\) must be 'write' or 'read' or 'none'"):
            fly_orm.wait_for("never").__enter__()


class TestALateReplica:
    @pytest.fixture
    def strict(self, regions, db):
        return regions.lax(options={"on_lag": "raise", "replication_timeout": 0.2})

    def test_can_be_an_error_which_has_the_result_and_says_that_it_is_committed(self, regions, strict):
        with regions.cluster.replay_paused():
            with pytest.raises(ReplicationTimeout, match="committed at") as caught:
                insert(strict, "a")
            assert caught.value.result.fetchall() == [(1,)]
            assert caught.value.waited >= 0.2
            assert caught.value.lsn > 0
            assert isinstance(caught.value, peewee.OperationalError)
            assert regions.query("SELECT count(*) FROM item") == 1
            assert names(strict) == ["a"]
            assert fly_orm.why().route is Route.PRIMARY

    def test_is_one_after_a_transaction_that_is_over(self, regions, strict):
        with regions.cluster.replay_paused():
            with pytest.raises(ReplicationTimeout), strict.atomic():
                insert(strict, "a")
            assert not strict.in_transaction()
            assert regions.query("SELECT count(*) FROM item") == 1
        regions.cluster.wait_for_replica()
        assert insert(strict, "b").fetchall() == [(2,)]


class TestReading:
    def test_is_never_followed_by_reading_what_is_older(self, regions, db):
        with regions.cluster.replay_paused():
            regions.query("INSERT INTO item (name) VALUES ('of another')")
            assert names(db) == []
            with fly_orm.primary():
                assert names(db) == ["of another"]
            assert names(db) == ["of another"]
            assert fly_orm.why().route is Route.PRIMARY
        regions.cluster.wait_for_replica()
        assert names(db) == ["of another"]
        assert fly_orm.why().route is Route.LOCAL

    def test_in_a_transaction_counts_as_well(self, regions, db):
        with regions.cluster.replay_paused():
            regions.query("INSERT INTO item (name) VALUES ('of another')")
            with db.atomic():
                assert names(db) == ["of another"]
            assert names(db) == ["of another"]

    def test_stays_on_the_replica_where_that_is_asked_for(self, regions, db):
        with regions.cluster.replay_paused():
            with fly_orm.wait_for("read"):
                insert(db, "a")
            with fly_orm.replica():
                assert names(db) == []
                assert fly_orm.why().route is Route.LOCAL
                with fly_orm.primary():
                    assert names(db) == ["a"]
                assert names(db) == []
            resumed = resumed_later(regions)
            assert names(db) == ["a"]
            resumed.join()

    def test_in_one_read_only_transaction_is_of_one_moment(self, regions, db):
        with db.atomic("REPEATABLE READ READ ONLY"):
            assert names(db) == []
            regions.query("INSERT INTO item (name) VALUES ('of another')")
            regions.cluster.wait_for_replica()
            assert names(db) == []
            assert fly_orm.why().route is Route.LOCAL
        assert names(db) == ["of another"]

    @pytest.mark.parametrize("implicit", [False, True])
    def test_in_a_read_only_transaction_at_read_committed_waits_for_own_writes(self, regions, db, implicit):
        other = regions.lax()
        begin_to_read(db, implicit=implicit)
        with regions.cluster.replay_paused(), fly_orm.wait_for("read"):
            insert(other, "a")
            with once_waited_for(regions.cluster.resume_replay):
                assert names(db) == ["a"]
            assert fly_orm.why().route is Route.LOCAL
            assert names(db) == ["a"]

    @pytest.mark.parametrize("implicit", [False, True])
    @pytest.mark.parametrize("chained", [False, True])
    def test_in_one_goes_on_on_the_primary_if_it_has_to(self, regions, db, implicit, chained):
        with regions.cluster.replay_paused():
            begin_to_read(db, implicit=implicit)
            if chained:
                db.execute_sql("COMMIT AND CHAIN")
            regions.query("INSERT INTO item (name) VALUES ('of another')")
            for sql in ("SAVEPOINT a", "SET LOCAL app.tenant TO 'ann'"):
                db.execute_sql(sql)
            assert names(db) == []
            with fly_orm.primary():
                assert names(db) == ["of another"]
                assert fly_orm.why().route is Route.PRIMARY
            shown = "SELECT current_setting('app.tenant'), current_setting('transaction_read_only')"
            assert db.execute_sql(shown).fetchone() == ("ann", "on")
            db.execute_sql("ROLLBACK TO a")
            assert names(db) == ["of another"]
            db.connection().rollback() if implicit else db.execute_sql("ROLLBACK")
        assert names(db) == ["of another"]

    @pytest.mark.parametrize("why", ["REPEATABLE READ", "a cursor", "a setting of a function"])
    def test_in_one_that_cannot_go_on_there_stays_on_the_replica(self, regions, db, why):
        regions.query(
            "CREATE FUNCTION set_name(text) RETURNS void LANGUAGE sql AS $$SELECT set_config('app.name', $1, false)$$"
        )
        regions.cluster.wait_for_replica()
        with regions.cluster.replay_paused():
            begin_to_read(db, implicit=True, isolation="REPEATABLE READ" if why == "REPEATABLE READ" else None)
            cursor = db.connection().cursor(name="c")
            if why == "a cursor":
                cursor.execute("SELECT generate_series(1, 2)")
            elif why == "a setting of a function":
                db.execute_sql("SELECT set_name('ann')")
            regions.query("INSERT INTO item (name) VALUES ('of another')")
            with fly_orm.primary():
                assert names(db) == []
                assert fly_orm.why().route is Route.LOCAL
                assert why != "a cursor" or cursor.fetchall() == [(1,), (2,)]
            db.connection().rollback()


def begin_to_read(db, *, implicit, isolation=None):
    """Begin a READ ONLY transaction on the replica, whose only row is yet to be written."""
    if implicit:
        db.connection().set_session(readonly=True, autocommit=False, isolation_level=isolation)
    else:
        db.execute_sql("BEGIN READ ONLY")
    assert names(db) == []
    assert fly_orm.why().route is Route.LOCAL


class TestAFunctionThatWrites:
    def test_in_a_primary_block_is_seen_after_it(self, regions, db):
        regions.query("CREATE FUNCTION put() RETURNS void LANGUAGE sql AS $$INSERT INTO item (name) VALUES ('a')$$")
        regions.cluster.wait_for_replica()
        with regions.cluster.replay_paused():
            with fly_orm.primary():
                db.execute_sql("SELECT put()")
            assert names(db) == ["a"]


class TestAnUnknownOutcome:
    def test_of_a_read_leaves_the_replica_to_be_read(self, regions, db):
        insert(db, "a")
        regions.wan.stall()
        with hurried(db, 0.5), pytest.raises(fly_orm.OutcomeUnknown), fly_orm.primary():
            names(db)
        assert names(db) == ["a"]

    def test_of_a_write_keeps_reads_from_the_replica_for_a_while_only(self, regions, db, monkeypatch):
        insert(db, "a")
        regions.wan.stall()
        with hurried(db, 0.5), pytest.raises(fly_orm.OutcomeUnknown):
            insert(db, "b")
        with hurried(db, 0.5), pytest.raises(fly_orm.FlyOrmError):
            names(db)
        current().watermarks.settle(regions.name)
        assert names(db) == ["a"]

    @pytest.mark.usefixtures("no_spare_channels")
    def test_is_over_with_the_next_transaction_that_reads(self, regions, db):
        insert(db, "a")
        regions.wan.cut_before_reply()
        with pytest.raises(fly_orm.OutcomeUnknown):
            insert(db, "b")
        for statement in ("BEGIN READ ONLY", "SELECT 1", "COMMIT"):
            db.execute_sql(statement)
        regions.cluster.wait_for_replica()
        assert names(db) == ["a", "b"]
        assert fly_orm.why().route is Route.LOCAL


class TestASession:
    def test_of_its_own_begins_with_nothing_seen(self, regions, db):
        with regions.cluster.replay_paused():
            with fly_orm.session():
                with fly_orm.wait_for("none"):
                    insert(db, "a")
                with fly_orm.primary():
                    assert names(db) == ["a"]
                assert names(db) == ["a"]
            assert names(db) == []

    def test_of_a_thread_is_not_that_of_another(self, regions, db):
        with regions.cluster.replay_paused(), fly_orm.wait_for("read"):
            insert(db, "a")

            def elsewhere():
                with db.connection_context():
                    return names(db)

            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(elsewhere).result() == []
            resumed = resumed_later(regions)
            assert names(db) == ["a"]
            resumed.join()

    def test_of_a_task_begins_with_what_its_parent_has_seen_and_goes_its_own_way(self, regions, db):
        async def reader():
            return names(db), fly_orm.why().route

        async def writer(name):
            with fly_orm.wait_for("none"):
                insert(db, name)
            with fly_orm.primary():
                names(db)
            return names(db)

        async def main():
            wrote = await asyncio.create_task(writer("a"))
            sibling, route = await asyncio.create_task(reader())
            own = names(db)
            return wrote, sibling, route, own

        with regions.cluster.replay_paused():
            names(db)  # the thread has a session, which the tasks' contexts inherit
            assert asyncio.run(main()) == (["a"], [], Route.LOCAL, [])

    def test_of_a_task_is_that_of_the_threads_it_waits_for(self, regions, db):
        def write():
            with db.connection_context(), fly_orm.primary():
                db.execute_sql("INSERT INTO item (name) VALUES ('of another')")
                return names(db)

        def read():
            with db.connection_context():
                return names(db)

        async def main():
            with fly_orm.session(), fly_orm.wait_for("read"):
                await asyncio.to_thread(write)
                return await asyncio.to_thread(read)

        late = regions.lax(options={"replication_timeout": 0.2})
        assert late
        with regions.cluster.replay_paused():
            resumed = resumed_later(regions)
            assert asyncio.run(main()) == ["of another"]
            resumed.join()

    def test_is_shared_with_who_runs_in_a_copy_of_its_context(self, regions, db):
        with regions.cluster.replay_paused(), fly_orm.wait_for("read"):
            insert(db, "a")
            context = contextvars.copy_context()
            resumed = resumed_later(regions)

            def elsewhere():
                with db.connection_context():
                    return names(db)

            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(context.run, elsewhere).result() == ["a"]
            resumed.join()


def test_a_session_is_found_while_another_thread_imports_asyncio(monkeypatch):
    session = current()
    monkeypatch.setitem(sys.modules, "asyncio", types.ModuleType("asyncio"))  # it has no functions yet
    assert current() is session
    with fly_orm.session():
        assert current() is not session
