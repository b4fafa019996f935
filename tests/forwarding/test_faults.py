"""What a caller sees when something between the regions breaks, and what becomes of the write."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from traceback import TracebackException

import peewee
import psycopg2
import pytest

import fly_orm
from fly_orm import NoChannel, NotDelivered, NotPrimary, OutcomeUnknown, Refused, TransactionLost
from fly_orm.protocol.keys import keys_of
from fly_orm.protocol.secret import Secrets
from fly_orm.testing.contract.tools import in_thread
from tests.support.hurrying import hurried
from tests.support.two_regions import OTHER_SECRET, settings, two_regions
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.usefixtures("no_spare_channels")


@pytest.fixture
def db(regions):
    regions.query("CREATE TABLE item (id serial PRIMARY KEY, name text UNIQUE)")
    regions.cluster.wait_for_replica()
    return regions.lax()


def insert(db, name="a"):
    return db.execute_sql("INSERT INTO item (name) VALUES (%s)", (name,))


def names(regions):
    return regions.query("SELECT coalesce(string_agg(name, ' ' ORDER BY name), '') FROM item")


def open_transactions(regions):
    return regions.query(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
    )


def sleepers(regions):
    return regions.query("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'")


@contextmanager
def sleeping_on_primary(regions, db):
    """The future of a statement of this connection that sleeps on the primary; it has failed when the block ends."""
    sleeping = in_thread(db.connection().cursor().execute, "SELECT pg_sleep(600)")
    until(lambda: sleepers(regions) == 1)
    yield sleeping
    assert isinstance(sleeping.exception(PATIENCE), psycopg2.Error)


def caught_everywhere(error):
    """Whether fly_orm's, the driver's and peewee's callers would all catch it."""
    return isinstance(error, psycopg2.OperationalError) and isinstance(error, peewee.OperationalError)


class TestAWriteInAutocommit:
    def test_cut_before_it_is_sent_is_delivered_over_another_channel(self, regions, db):
        insert(db, "warm")
        regions.wan.cut_before_request()
        try:
            insert(db)
        except OutcomeUnknown:
            # The cut came after the request had left this process, which cannot know how far it got.
            assert names(regions) == "warm"
        else:
            assert names(regions) == "a warm"

    def test_cut_after_it_was_sent_is_unknown_and_not_repeated(self, regions, db):
        insert(db, "warm")
        regions.wan.cut_after_request()
        with pytest.raises(OutcomeUnknown) as caught:
            insert(db)
        assert caught_everywhere(caught.value)
        until(lambda: names(regions) in ("a warm", "warm"))
        insert(db, "next")
        assert names(regions).split().count("a") <= 1

    def test_cut_before_the_reply_is_unknown_and_it_is_committed(self, regions, db):
        insert(db, "warm")
        regions.wan.cut_before_reply()
        with pytest.raises(OutcomeUnknown):
            insert(db)
        assert names(regions) == "a warm"

    def test_no_reply_within_the_timeout_is_unknown(self, regions, db):
        insert(db, "warm")
        regions.wan.stall()
        with hurried(db, 0.5), pytest.raises(OutcomeUnknown, match=r"0\.5 s"):
            insert(db)
        regions.wan.heal()
        insert(db, "next")
        assert "next" in names(regions)

    @pytest.mark.usefixtures("impatient")
    def test_after_a_fault_the_next_write_works(self, regions, db):
        insert(db, "warm")
        regions.wan.cut()
        with pytest.raises((NotDelivered, OutcomeUnknown)):
            insert(db)
        regions.wan.heal()
        insert(db, "next")
        assert names(regions) == "next warm"


class TestATransaction:
    def test_whose_statement_is_cut_off_is_lost_and_rolled_back(self, regions, db):
        with pytest.raises(TransactionLost, match="nothing of it was committed") as caught, db.atomic():
            insert(db, "one")
            regions.wan.cut_before_reply()
            insert(db, "two")
        assert caught_everywhere(caught.value)
        until(lambda: open_transactions(regions) == 0)
        assert names(regions) == ""
        with db.atomic():
            insert(db, "next")
        assert names(regions) == "next"

    def test_that_was_lost_can_only_be_rolled_back(self, regions, db):
        db.begin()
        insert(db, "one")
        regions.wan.cut_before_reply()
        for name in ("two", "three"):
            with pytest.raises(TransactionLost):
                insert(db, name)
        with pytest.raises(TransactionLost):
            db.execute_sql("SELECT 1")
        db.rollback()
        insert(db, "next")
        assert names(regions) == "next"

    def test_whose_commit_gets_no_answer_is_asked_for(self, regions, db):
        db.begin()
        insert(db, "one")
        regions.wan.cut_before_reply()
        db.commit()
        assert not db.connection().get_transaction_status()
        assert names(regions) == "one"

    @pytest.mark.parametrize("earlier", [False, True])
    def test_that_ends_within_a_longer_string_has_an_unknown_outcome_too(self, regions, db, earlier):
        insert(db, "warm")
        db.begin()
        if earlier:
            insert(db, "earlier")
        regions.wan.cut_before_reply()
        with pytest.raises(OutcomeUnknown):
            db.execute_sql("INSERT INTO item (name) VALUES ('one'); COMMIT")
        assert names(regions).split()[-2:] == ["one", "warm"]
        insert(db, "next")

    def test_whose_caller_is_gone_is_rolled_back_within_seconds(self, regions, db):
        db.begin()
        insert(db, "one")
        assert open_transactions(regions) == 1
        regions.wan.cut()
        until(lambda: open_transactions(regions) == 0)
        assert names(regions) == ""
        with pytest.raises(TransactionLost):
            insert(db, "two")
        db.rollback()
        regions.wan.heal()

    def test_whose_caller_is_gone_while_a_statement_runs_is_cancelled(self, regions, db):
        db.begin()
        insert(db, "one")
        with sleeping_on_primary(regions, db) as sleeping:
            regions.wan.cut()
        assert isinstance(sleeping.exception(), TransactionLost)
        until(lambda: sleepers(regions) == 0)
        db.rollback()

    def test_whose_caller_says_nothing_is_rolled_back_in_the_end(self, cluster, database):
        with two_regions(cluster, database, idle_timeout=0.2) as regions:
            regions.query("CREATE TABLE item (id serial PRIMARY KEY, name text UNIQUE)")
            db = regions.lax()
            db.begin()
            insert(db, "one")
            until(lambda: open_transactions(regions) == 0)
            with pytest.raises(TransactionLost, match="idle for too long"):
                insert(db, "two")
            db.rollback()
            assert names(regions) == ""

    def test_of_a_connection_that_is_closed_is_rolled_back(self, regions, db):
        db.begin()
        insert(db, "one")
        db.connection().close()
        until(lambda: open_transactions(regions) == 0)
        assert names(regions) == ""


class TestTheNodesOfThePrimaryRegion:
    def test_unreachable_ones_are_all_named_within_the_timeout(self, regions, db):
        regions.wan.cut()
        fresh = regions.lax()
        with pytest.raises(NotDelivered, match="no node of the primary region 'syd'") as caught:
            insert(fresh)
        assert regions.wan.address in str(caught.value)
        assert "Is `fly-orm serve` running" in str(caught.value)
        assert caught_everywhere(caught.value)
        assert db.execute_sql("SELECT count(*) FROM item").fetchone() == (0,)  # reads go on

    def test_one_that_is_down_is_passed_over(self, regions, db):
        nodes = {
            "syd": tuple(fly_orm.topology.Node(region="syd", address=a) for a in ("127.0.0.1:1", regions.wan.address))
        }
        for _ in range(4):
            other = regions.lax(options={"settings": regions.lax_settings(nodes=nodes)})
            insert(other, None)
        assert regions.query("SELECT count(*) FROM item") == 4

    def test_one_whose_database_is_a_replica_says_so_before_anything_runs(self, cluster, database, regions):
        demoted = regions.unwrapped(cluster.replica)
        demoted = fly_orm.wrap(demoted, settings=settings("syd"))
        with fly_orm.serve(demoted, listen="127.0.0.1:0", settings=settings("syd")) as serving:
            db = regions.lax(options={"settings": settings("lax", serving.address)})
            with pytest.raises(NotPrimary, match="is a replica") as caught:
                db.execute_sql("CREATE TABLE t ()")
            assert caught_everywhere(caught.value)
            both = {
                "syd": tuple(
                    fly_orm.topology.Node(region="syd", address=a) for a in (serving.address, regions.wan.address)
                )
            }
            for _ in range(4):
                db = regions.lax(options={"settings": regions.lax_settings(nodes=both)})
                db.execute_sql("CREATE TABLE IF NOT EXISTS t ()")

    def test_one_with_another_secret_is_not_spoken_to(self, regions):
        db = regions.lax(options={"settings": regions.lax_settings(secret=OTHER_SECRET)})
        with pytest.raises(fly_orm.AuthenticationFailed, match="does not hold the same FLY_ORM_SECRET") as caught:
            db.execute_sql("CREATE TABLE t ()")
        shown = "".join(TracebackException.from_exception(caught.value, capture_locals=True).format())
        assert OTHER_SECRET not in shown
        assert not [keys for keys in keys_of(Secrets(OTHER_SECRET)) if repr(keys.channel) in shown]

    def test_one_that_does_not_serve_the_database_lists_what_it_serves(self, regions):
        db = regions.lax(options={"name": "warehouse"})
        with pytest.raises(Refused, match=f"serves {regions.name}, not 'warehouse'; let it serve") as caught:
            db.execute_sql("CREATE TABLE t ()")
        assert caught.value.reason == "unknown database"

    def test_one_whose_connections_are_all_in_use_says_that_it_is_busy(self, cluster, database):
        with two_regions(cluster, database, pool_size=1) as regions:
            regions.query("CREATE TABLE item (id serial PRIMARY KEY, name text UNIQUE)")
            holder, other = regions.lax(), regions.lax()
            holder.begin()
            insert(holder, "one")
            with hurried(other, 1.0), pytest.raises(Refused, match="no connection to the primary is free"):
                insert(other, "two")
            holder.commit()
            insert(other, "three")
            assert names(regions) == "one three"

    def test_one_whose_channels_are_all_in_use_is_not_quarantined(self, regions):
        regions.query("CREATE TABLE item (id serial PRIMARY KEY, name text UNIQUE)")
        db = regions.lax(options={"settings": regions.lax_settings().with_limits(max_channels=1)})
        with db.atomic():
            insert(db, "one")
            errors = []

            def another():
                try:
                    insert(db, "two")
                except NotDelivered as error:
                    errors.append(error)
                db.close()

            with hurried(db, 0.3):
                thread = threading.Thread(target=another)
                thread.start()
                thread.join()
        assert "all 1 stayed in use" in str(errors[0])
        assert isinstance(errors[0], NoChannel)
        assert (type(errors[0]).__name__, errors[0].full) == ("NoChannel", False)
        assert not db._fly_orm.forwarder.directory.quarantined

    def test_one_that_stops_finishes_what_runs_and_declines_the_rest(self, regions, db):
        db.begin()
        insert(db, "one")
        regions.serving._executor.drain()
        other = regions.lax()
        with pytest.raises(Refused, match="shutting down"):
            insert(other, "two")
        db.commit()
        assert names(regions) == "one"

    def test_unknown_ones_are_a_matter_of_configuration(self, regions):
        db = regions.lax(options={"settings": settings("lax")})
        with pytest.raises(
            fly_orm.ConfigurationError, match="no node in region 'syd': looked in FLY_ORM_NODES, which is n"
        ):
            db.execute_sql("CREATE TABLE t ()")

    def test_a_malformed_address_is_a_matter_of_configuration(self, regions):
        db = regions.lax(options={"settings": settings("lax", "syd.internal")})
        with pytest.raises(fly_orm.ConfigurationError, match=r"syd\.internal"):
            db.execute_sql("CREATE TABLE t ()")

    def test_an_unknown_transport_is_a_matter_of_configuration(self, regions):
        db = regions.lax(options={"settings": regions.lax_settings(transport="sparrow")})
        with pytest.raises(fly_orm.ConfigurationError, match="no installed distribution provides 'sparrow'"):
            db.connect()

    def test_off_this_machine_a_secret_must_be_a_good_one_on_both_sides(self, regions):
        weak = "changeme" * 5
        with pytest.raises(fly_orm.ConfigurationError, match=r"FLY_ORM_SECRET could be guessed.*`fly-orm secret`"):
            fly_orm.serve(regions.lax(), listen="0.0.0.0:0", settings=settings("syd", secret=weak))
        db = regions.lax(options={"settings": settings("lax", "192.0.2.1:7654", secret=f"{OTHER_SECRET} {weak}")})
        with pytest.raises(fly_orm.AuthenticationFailed, match="value 2 of FLY_ORM_SECRET could be guessed"):
            db.execute_sql("CREATE TABLE t ()")

    def test_off_this_machine_a_secret_is_required_on_both_sides(self, regions):
        with pytest.raises(fly_orm.ConfigurationError, match="FLY_ORM_SECRET must be set"):
            fly_orm.serve(regions.lax(), listen="0.0.0.0:0", settings=settings("syd", secret=""))
        db = regions.lax(options={"settings": settings("lax", "192.0.2.1:7654", secret="")})
        with pytest.raises(fly_orm.AuthenticationFailed, match="FLY_ORM_SECRET must be set"):
            db.execute_sql("CREATE TABLE t ()")


@pytest.mark.usefixtures("time_to_answer")
class TestTime:
    def test_a_statement_that_takes_too_long_is_cancelled_and_has_no_effect(self, regions, db):
        insert(db, None)
        with (
            hurried(db, 2.0),
            pytest.raises(peewee.OperationalError, match="due to timeout; it has had no effect") as caught,
        ):
            db.execute_sql(
                "INSERT INTO item (name) SELECT pg_sleep(60)::text FROM item, nextval('item_id_seq')"
                " RIGHT JOIN (SELECT 1) one ON pg_sleep(60) IS NULL"
            )
        assert caught.value.orig.pgcode == "57014"
        assert names(regions) == ""

    def test_a_statement_cancelled_in_a_transaction_fails_the_transaction(self, regions, db):
        with pytest.raises(peewee.OperationalError), db.atomic():
            insert(db, "one")
            with hurried(db, 2.0):
                db.execute_sql("SELECT pg_sleep(60)")
        insert(db, "next")
        assert names(regions) == "next"

    def test_no_limit_is_no_limit(self, regions, db):
        patient = regions.lax(options={"rpc_timeout": None, "replication_timeout": None})
        insert(patient, "one")
        assert patient.execute_sql("SELECT name FROM item").fetchall() == [("one",)]

    @pytest.mark.parametrize("first", [False, True])
    def test_another_thread_can_cancel_what_runs_on_the_primary(self, regions, db, first):
        db.begin()
        if not first:
            insert(db, "one")
        with sleeping_on_primary(regions, db) as sleeping:
            db.connection().cancel()
        assert sleeping.exception().pgcode == "57014"
        assert "user request" in str(sleeping.exception())
        db.rollback()


class TestTheReplica:
    def test_that_is_late_loses_nothing_and_pins_only_this_session(self, regions, db):
        quick = regions.lax(options={"replication_timeout": 0.05})
        with regions.cluster.replay_paused():
            assert insert(quick).rowcount == 1
            assert quick.execute_sql("SELECT name FROM item").fetchall() == [("a",)]
            assert fly_orm.why().route is fly_orm.Route.PRIMARY
            elsewhere = []
            thread = threading.Thread(
                target=lambda: (elsewhere.extend(quick.execute_sql("SELECT name FROM item")), quick.close())
            )
            thread.start()
            thread.join()
            assert elsewhere == []
        regions.cluster.wait_for_replica()
        assert quick.execute_sql("SELECT name FROM item").fetchall() == [("a",)]
        assert fly_orm.why().route is fly_orm.Route.LOCAL

    def test_that_is_really_the_primary_just_works_where_no_nodes_are_known(self, regions):
        db = regions.unwrapped(regions.cluster.primary)
        db = fly_orm.wrap(db, settings=settings("lax"))
        db.execute_sql("CREATE TABLE t ()")
        with db.atomic():
            db.execute_sql("INSERT INTO t DEFAULT VALUES")
        assert db.execute_sql("SELECT count(*) FROM t").fetchone() == (1,)

    def test_that_is_not_there_is_an_operational_error_that_says_what_to_check(self, regions):
        db = fly_orm.wrap(peewee.PostgresqlDatabase("shop", host="127.0.0.1", port=1), settings=settings("lax", "a:1"))
        with pytest.raises(peewee.OperationalError, match=r"(?s)refused.*must be that of the region's own replica"):
            db.connect()
