"""Pools keep connections that are of use, and leave nothing behind, neither here nor on the node."""

from __future__ import annotations

import gc
import os
import threading
import weakref

import pytest
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import NotSupportedError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import AssertionPool, NullPool, QueuePool, SingletonThreadPool, StaticPool
from sqlalchemy_models import Item
from sqlalchemy_regions import LOCAL, PRIMARY, router_of, served

import fly_orm
from tests.support.nodes import url
from tests.support.waiting import until

IN_RECOVERY = "SELECT pg_is_in_recovery()"
PID = "SELECT pg_backend_pid()"


@pytest.fixture(autouse=True)
def _tables(regions):
    regions.create_tables()


def pid(engine):
    """The process that serves the connection that the pool lends."""
    with engine.connect() as connection:
        [[(number,)], route] = served(connection, PID)
        assert route is LOCAL
        return number


def works(engine):
    """It writes on the primary and reads that locally."""
    with Session(engine) as session:
        number = session.query(Item).count()
        session.add(Item(name=f"item {number}"))
        session.commit()
        assert session.query(Item).count() == number + 1
        assert fly_orm.why().route is LOCAL


@pytest.mark.parametrize("pool", [QueuePool, NullPool, StaticPool, SingletonThreadPool, AssertionPool])
def test_every_pool_routes(regions, pool):
    engine = regions.lax(poolclass=pool)
    works(engine)
    engine.dispose()
    works(engine)


@pytest.mark.parametrize("options", [{}, {"pool_pre_ping": True}], ids=["plain", "pre_ping"])
def test_a_pool_lends_the_proxies_of_a_monitoring_agent(agent, regions, options):
    engine = regions.lax(**options)
    works(engine)
    number = pid(engine)
    works(engine)
    assert pid(engine) == number
    assert IN_RECOVERY not in agent
    with engine.connect() as connection:
        assert served(connection, IN_RECOVERY) == ([(True,)], LOCAL)
    assert agent[-1] == IN_RECOVERY


class TestAConnectionThatHasLostItsServer:
    def lose(self, regions, number):
        regions.cluster.replica.query(f"SELECT pg_terminate_backend({number})")
        until(lambda: not regions.cluster.replica.query(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {number}"))

    @pytest.mark.parametrize("options", [{}, {"pool_pre_ping": True}], ids=["plain", "pre_ping"])
    def test_is_replaced_when_it_is_lent_again(self, regions, options):
        engine = regions.lax(**options)
        number = pid(engine)
        assert pid(engine) == number
        self.lose(regions, number)
        assert pid(engine) != number

    @pytest.mark.parametrize("options", [{}, {"pool_pre_ping": True}], ids=["plain", "pre_ping"])
    def test_still_writes_while_the_replica_is_down(self, regions, options):
        engine = regions.lax(wrap={"wait": "none"}, **options)
        pid(engine)
        regions.cluster.replica.stop()
        try:
            with engine.begin() as connection:
                served(connection, "INSERT INTO item (name, n) VALUES ('a', 0)")
            assert regions.query("SELECT count(*) FROM item") == 1
        finally:
            regions.cluster.replica.start()

    def test_comes_back_to_the_pool_whatever_was_changed(self, regions):
        engine = regions.lax(pool_size=1, max_overflow=0, pool_timeout=1)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT", postgresql_readonly=True) as connection:
            [[(number,)], _] = served(connection, PID)
            self.lose(regions, number)
        assert pid(engine) != number


class TestAFailureBetweenTheRegions:
    def test_leaves_the_connections_to_the_replica_in_the_pool(self, regions, no_spare_channels):
        engine = regions.lax(pool_size=3)
        with engine.connect() as one, engine.connect() as two:
            before = {served(each, PID)[0][0] for each in (one, two)}
        with Session(engine) as session:
            session.add(Item(name="a"))
            session.flush()
            regions.wan.cut_before_reply()
            session.add(Item(name="b"))
            with pytest.raises(fly_orm.TransactionLost) as caught:
                session.flush()
            assert isinstance(caught.value, OperationalError)
            assert not caught.value.connection_invalidated
            session.rollback()
        with engine.connect() as one, engine.connect() as two:
            assert {served(each, PID)[0][0] for each in (one, two)} == before

    def test_in_a_savepoint_lets_the_session_give_its_connection_back(self, regions, no_spare_channels):
        engine = regions.lax(pool_size=1, max_overflow=0, pool_timeout=1)
        with pytest.raises(fly_orm.TransactionLost), Session(engine) as session:
            session.add(Item(name="a"))
            session.begin_nested()
            regions.wan.cut_before_reply()
            served(session, "INSERT INTO item (name, n) VALUES ('b', 0)")
        works(engine)

    def test_of_which_nobody_knows_the_outcome_is_one_of_both_libraries(self, regions, no_spare_channels):
        engine = regions.lax(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            served(connection, "INSERT INTO item (name, n) VALUES ('a', 0)")
            regions.wan.cut_before_reply()
            with pytest.raises(fly_orm.OutcomeUnknown) as caught:
                served(connection, "INSERT INTO item (name, n) VALUES ('b', 0)")
            assert isinstance(caught.value, OperationalError)
            assert isinstance(caught.value.orig, fly_orm.OutcomeUnknown)
            assert caught.value.settled_after == caught.value.orig.settled_after
            assert served(connection, "SELECT count(*) FROM item") == ([(2,)], PRIMARY)

    def test_keeps_no_connection_from_coming_back_to_the_pool(self, regions, impatient):
        """SQLAlchemy gives up a place in the pool for good if it cannot reset what an execution option has changed."""
        engine = regions.lax(pool_size=1, max_overflow=0, pool_timeout=1)
        changed = [
            engine.execution_options(isolation_level="AUTOCOMMIT"),
            engine.execution_options(isolation_level="AUTOCOMMIT", postgresql_readonly=True),
            engine.execution_options(isolation_level="AUTOCOMMIT", postgresql_deferrable=True),
        ]
        regions.serving.close()
        assert len({pid(each) for each in (*changed, engine) * 2}) == 1

    @pytest.mark.parametrize("level", ["AUTOCOMMIT", "SERIALIZABLE"])
    def test_replaces_a_connection_whose_state_it_has_lost(self, regions, impatient, level):
        engine = regions.lax(pool_size=1, max_overflow=0, pool_timeout=1)
        changed = engine.execution_options(isolation_level=level)
        with changed.connect():
            pass  # the level that this leaves behind is not the server's default
        with changed.connect() as connection:
            served(connection, "CREATE TEMP TABLE mine (n int)")
            regions.serving.close()
        assert engine.pool.checkedout() == 0
        assert pid(engine)

    def test_does_not_delay_a_checkout_with_pre_ping(self, regions, no_spare_channels):
        engine = regions.lax(pool_pre_ping=True)
        works(engine)
        with fly_orm.primary():
            before = regions.wan.round_trips
            with engine.connect():
                pass
            assert regions.wan.round_trips == before


class TestStateOnThePrimary:
    @pytest.mark.parametrize(
        "statement",
        ["CREATE TEMP TABLE mine (n int)", "SELECT pg_advisory_lock(7)", "PREPARE mine AS SELECT 1"],
        ids=["temporary table", "lock", "prepared statement"],
    )
    def test_ends_when_the_connection_is_given_back(self, regions, statement):
        engine = regions.lax()
        with engine.connect() as connection:
            served(connection, statement)
            connection.commit()
            assert served(connection, IN_RECOVERY) == ([(False,)], PRIMARY)
        until(lambda: regions.query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0)
        with fly_orm.session(), engine.connect() as connection:
            assert served(connection, IN_RECOVERY) == ([(True,)], LOCAL)
        works(engine)

    @pytest.mark.parametrize("pool", [StaticPool, SingletonThreadPool, AssertionPool])
    def test_stays_in_a_pool_of_one_connection_until_that_is_closed(self, regions, pool):
        engine = regions.lax(poolclass=pool)
        with engine.begin() as connection:
            served(connection, "CREATE TEMP TABLE mine (n int)")
            served(connection, "INSERT INTO mine VALUES (7)")
        with engine.connect() as connection:
            assert served(connection, "SELECT n FROM mine") == ([(7,)], PRIMARY)
        engine.dispose()
        until(lambda: regions.query("SELECT count(*) FROM pg_class WHERE relname = 'mine'") == 0)
        with fly_orm.session(), engine.connect() as connection:
            assert served(connection, IN_RECOVERY) == ([(True,)], LOCAL)

    def test_of_settings_stays_with_the_connection_as_on_one_server(self, regions):
        engine = regions.lax(pool_size=1)
        with engine.connect() as connection:
            served(connection, "SET statement_timeout = '77s'")
            connection.commit()
            served(connection, "CREATE TEMP TABLE mine (n int)")
            connection.commit()
        with engine.connect() as connection:
            assert served(connection, "SHOW statement_timeout") == ([("77s",)], LOCAL)
            served(connection, "INSERT INTO item (name, n) VALUES (current_setting('statement_timeout'), 0)")
            connection.commit()
        assert regions.query("SELECT name FROM item") == "77s"


def test_settings_of_a_connect_listener_cost_nothing_in_autocommit(regions):
    engine = regions.lax()

    @event.listens_for(engine, "connect")
    def _set(connection, _record):
        connection.autocommit = True
        connection.cursor().execute("SET search_path TO public, pg_temp")
        connection.autocommit = False

    with engine.connect() as connection:
        assert served(connection, "SHOW search_path") == ([("public, pg_temp",)], LOCAL)
    works(engine)


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_a_listener_of_all_engines_hears_every_statement_of_one_that_is_wrapped(regions, late):
    heard = []

    def hear(_connection, _cursor, statement, *_):
        heard.append(statement)

    engine = regions.lax() if late else None
    event.listen(Engine, "before_cursor_execute", hear)
    try:
        with (engine or regions.lax()).connect() as connection:
            assert served(connection, "SELECT 17") == ([(17,)], LOCAL)
    finally:
        event.remove(Engine, "before_cursor_execute", hear)
    assert "SELECT 17" in heard


def test_two_phase_commit_is_refused_and_leaves_the_connection_usable(regions):
    engine = regions.lax()
    with Session(engine, twophase=True) as session:
        with pytest.raises(NotSupportedError) as caught:
            session.add(Item(name="a"))
            session.commit()
        assert isinstance(caught.value, fly_orm.NotSupported)
    works(engine)


def test_a_forked_child_uses_an_engine_that_it_has_disposed_of(regions):
    engine = regions.lax()
    with Session(engine) as session:
        session.add(Item(name="of the parent"))
        session.flush()
        child = os.fork()
        if not child:
            status = 1
            try:
                engine.dispose(close=False)
                works(engine)
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        session.commit()
    assert regions.query("SELECT count(*) FROM item") == 2


def sessions(regions):
    return regions.cluster.replica.query(
        f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{regions.name}' AND backend_type = 'client backend'"
    )


def test_an_engine_that_is_disposed_of_leaves_no_connection(regions):
    engine = regions.lax()
    works(engine)
    assert sessions(regions) > 0
    engine.dispose()
    until(lambda: sessions(regions) == 0)
    works(engine)


def test_dispose_does_not_disturb_a_write_that_waits_for_the_replica(regions):
    engine = regions.lax()
    works(engine)
    raised = []

    def write():
        try:
            works(engine)
        except BaseException as error:
            raised.append(error)

    with regions.cluster.replay_paused():
        writing = threading.Thread(target=write)
        writing.start()
        until(lambda: regions.query("SELECT count(*) FROM item") == 2)
        engine.dispose()
    writing.join(60)
    assert (writing.is_alive(), raised) == (False, [])


def test_an_engine_that_nobody_refers_to_leaves_neither_threads_nor_connections(regions):
    fly_orm.configure(regions.lax_settings())
    address = url(regions.cluster.replica, regions.name)
    works(regions.close_later(create_engine(address, plugins=["fly_orm"])))
    threads = {thread.name for thread in threading.enumerate()}
    gone = []
    for _ in range(5):
        engine = create_engine(address, plugins=["fly_orm"])
        works(engine)
        gone += [weakref.ref(engine), weakref.ref(router_of(engine))]
        del engine
    until(lambda: gc.collect() >= 0 and not any(each() for each in gone))
    until(lambda: sessions(regions) <= 2)
    until(lambda: len(threading.enumerate()) <= len(threads) + 1)
