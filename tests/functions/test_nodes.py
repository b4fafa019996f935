"""Which node runs a function, how long it may take, and what is left there of it."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import peewee
import psycopg2
import pytest

import fly_orm
from fly_orm import NotDelivered, NotSupported, OutcomeUnknown, Refused, Route
from fly_orm.runtime import runtime
from fly_orm.testing.contract.tools import until
from fly_orm.topology import Node
from tests.support import shop
from tests.support.nodes import url
from tests.support.two_regions import SECRET


@pytest.mark.over_every_transport
class TestATransaction:
    def test_that_is_open_here_has_no_part_in_it_so_the_call_is_refused(self, here):
        with here.db.atomic():
            shop.Item.create(name="a")
            with pytest.raises(NotSupported, match=r"cannot join the one that is open.*\.local"):
                shop.stock(["b"])
            shop.stock.local(["c"])
        assert here.names() == ["a", "c"]

    @pytest.mark.parametrize("begin", [lambda db: db.begin(), lambda db: db.execute_sql("BEGIN")])
    def test_that_was_begun_by_hand_is_met_as_well(self, here, begin):
        begin(here.db)
        with pytest.raises(NotSupported, match="cannot join the one that is open"):
            shop.stock(["b"])
        here.db.rollback()
        shop.stock(["b"])

    def test_that_the_function_leaves_open_is_rolled_back(self, here):
        for _ in range(12):
            shop.leave_open("a")
        assert here.stored() == []
        shop.stock(["b"])
        assert here.names() == ["b"]


class TestASession:
    """Is the function's own: the next one that the same thread runs finds nothing of it."""

    @pytest.fixture
    def one_thread(self, bare):
        node = bare.start("--pool-size", "1")
        bare.live_in_lax(node.address())
        return bare

    @pytest.mark.parametrize(
        "leave",
        [
            lambda: shop.leave_modes(False, None),
            lambda: shop.leave_modes(True, True),
            lambda: shop.leave_peewee_confused(),
            lambda: shop.sql("CREATE TEMP TABLE item (id serial, name text, price numeric)"),
            lambda: shop.sql("SET search_path TO pg_catalog"),
            lambda: shop.sql("SELECT set_config('search_path', 'pg_catalog', false)"),
            lambda: shop.sql("SET synchronous_commit TO off"),
            lambda: shop.sql("SELECT pg_advisory_lock(42)"),
        ],
    )
    def test_leaves_nothing(self, one_thread, leave):
        leave()
        for number in range(5):
            shop.stock([str(number)])
            assert len(one_thread.names()) == number + 1
        assert shop.sql("SHOW search_path") == [('"$user", public',)]
        assert one_thread.query("SELECT pg_try_advisory_lock(42)")
        assert len(one_thread.stored()) == 5


#: peewee 4.3 leaves the driver's error for a cancelled statement as it is.
CANCELLED = (peewee.OperationalError, psycopg2.errors.QueryCanceled)


class TestTime:
    @pytest.mark.usefixtures("time_to_answer")
    def test_that_is_over_cancels_what_runs(self, here):
        with pytest.raises(CANCELLED, match="timeout=seconds"):
            fly_orm.call(fly_orm.PRIMARY, shop.sql, "SELECT pg_sleep(30)", timeout=1)
        until(lambda: sleepers(here) == 0)

    def test_that_is_over_stops_the_function_between_statements(self, here, tmp_path):
        path = tmp_path / "said"
        with pytest.raises((*CANCELLED, OutcomeUnknown)):
            shop.go_on_and_on(str(path))
        until(path.exists)
        until(lambda: "the call timed out" in path.read_text())
        assert 0 < here.query("SELECT count(*) FROM item") < 1000

    def test_that_is_over_before_a_thread_is_free_means_it_has_not_run(self, bare, tmp_path):
        node = bare.start("--pool-size", "1")
        bare.live_in_lax(node.address())
        path = tmp_path / "runs"
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(shop.note_and_wait, str(path))
            until(path.exists)
            with pytest.raises(Refused, match="no thread is free"):
                fly_orm.call(fly_orm.PRIMARY, shop.stock, ["a"], timeout=2)
            go_on(path)
            first.result()
        assert bare.stored() == ["before", "after"]

    def test_that_is_over_stops_a_server_side_cursor(self, here, tmp_path):
        path = tmp_path / "said"
        with pytest.raises((psycopg2.Error, peewee.OperationalError, OutcomeUnknown)):
            shop.read_slowly(str(path))
        until(lambda: "the call timed out" in path.read_text())

    @pytest.mark.usefixtures("time_to_answer")
    def test_that_no_clock_can_hold_stops_nothing_else(self, here):
        assert fly_orm.call(fly_orm.PRIMARY, shop.count, timeout=1e12) == 0
        with pytest.raises(CANCELLED, match="the call timed out"):
            fly_orm.call(fly_orm.PRIMARY, shop.sql, "SELECT pg_sleep(30)", timeout=1)

    def test_of_a_caller_that_is_gone_is_over(self, here, tmp_path):
        path = tmp_path / "runs"
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(shop.note_and_sleep, str(path), 15)
            until(lambda: sleepers(here) == 1)
            here.wan.cut()
            with pytest.raises(OutcomeUnknown, match="may have run"):
                call.result()
        until(lambda: sleepers(here) == 0)
        here.wan.heal()
        assert here.stored() == ["before 15"]


def go_on(path):
    """Let :func:`shop.note_and_wait` end."""
    path.with_name(f"{path.name}.go").touch()


def sleepers(here):
    return here.query(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
        " AND datname = current_database()"
    )


@contextmanager
def locked(here):
    """A block in which this test holds a lock on the primary."""
    with closing(here.cluster.primary.connect(here.name)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(1)")
        yield


class TestNodes:
    def test_one_killed_before_a_call_is_passed_over(self, here):
        other = here.start()
        here.live_in_lax(here.address, other.address())  # with nothing between that would hide the end of the node
        assert {shop.where()[0] for _ in range(30)} == {here.node.pid, other.pid}
        here.node.kill()
        for number in range(10):
            shop.stock([str(number)])
        assert len(here.names()) == 10
        assert {shop.where()[0] for _ in range(5)} == {other.pid}

    def test_one_killed_during_a_call_leaves_the_outcome_unknown_and_it_is_not_run_again(self, here, tmp_path):
        other = here.start()
        here.live_in_lax(here.wan.address, other.address())
        path = tmp_path / "runs"
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(shop.note_and_sleep, str(path), 15)
            until(lambda: sleepers(here) == 1)
            pid = int(path.read_text())
            next(node for node in (here.node, other) if node.pid == pid).kill()
            with pytest.raises(OutcomeUnknown, match="note_and_sleep may have run"):
                call.result()
        assert shop.where()[0] != pid
        assert path.read_text().split() == [str(pid)]
        assert here.stored() == ["before 15"]

    def test_one_that_is_busy_is_passed_over(self, bare, tmp_path):
        nodes = [bare.start("--pool-size", "1") for _ in range(2)]
        bare.live_in_lax(*(node.address() for node in nodes))
        path = tmp_path / "runs"
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(shop.note_and_wait, str(path))
            until(path.exists)
            for number in range(5):
                shop.stock([str(number)])
            assert not waiting.done()
            go_on(path)
            waiting.result()
        assert len(bare.stored()) == 7

    def test_one_with_many_calls_under_way_takes_statements_as_well(self, here):
        with ThreadPoolExecutor(30) as pool:
            with locked(here):
                wait = "SELECT pg_advisory_xact_lock_shared(1)"
                calls = [pool.submit(fly_orm.call, fly_orm.PRIMARY, shop.sql, wait) for _ in range(30)]
                until(
                    lambda: here.query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 9
                )  # 8 of 10, and the lock
                shop.Item.create(name="a")
                assert not any(call.done() for call in calls)
            for call in calls:
                call.exception()

    def test_one_is_not_quarantined_because_a_caller_has_no_time(self, here):
        here.wan.rtt = 0.2
        for _ in range(3):
            with pytest.raises((NotDelivered, OutcomeUnknown)):
                fly_orm.call(fly_orm.PRIMARY, shop.count, timeout=0.1)
        assert not runtime.current_runtime().forwarder.directory.quarantined

    def test_one_that_knows_no_primary_region_declines(self, here):
        stray = here.start(PRIMARY_REGION="")
        here.live_in_lax(stray.address())
        with pytest.raises(fly_orm.NotPrimary, match="PRIMARY_REGION is not set on this node"):
            shop.stock(["a"])

    @pytest.mark.usefixtures("no_spare_channels")
    def test_an_outcome_that_is_unknown_can_be_looked_for_at_once(self, here):
        shop.where()  # opens the channel
        with here.cluster.replay_paused():
            here.wan.cut_before_reply()
            with pytest.raises(OutcomeUnknown):
                shop.stock(["a"])
            assert [item.name for item in shop.Item.select()] == ["a"]
            assert fly_orm.why().route is Route.PRIMARY
        here.cluster.wait_for_replica()
        assert here.names() == ["a"]

    def test_no_node_at_all_is_said_with_where_it_was_looked_for(self, bare):
        bare.live_in_lax("127.0.0.1:1")
        with pytest.raises(
            NotDelivered, match=r"no node of the primary region 'syd' ran tests.support.shop:stock.*FLY_ORM_NODES"
        ) as e:
            shop.stock(["a"])
        assert isinstance(e.value, psycopg2.OperationalError)
        assert isinstance(e.value, peewee.OperationalError)

    def test_one_whose_database_is_a_replica_declines_and_another_is_asked(self, here):
        demoted = here.start(server=here.cluster.replica)
        address = demoted.address()
        here.live_in_lax(address)
        with pytest.raises(fly_orm.NotPrimary, match="is a replica"):
            shop.stock(["a"])
        here.live_in_lax(address, here.wan.address)
        for number in range(8):
            shop.stock([str(number)])
        assert len(here.names()) == 8

    def test_one_whose_database_comes_back_as_a_replica_reads_on_the_primary(self, here, tmp_path):
        """Which the node could not know when the call came, and did not need to, since it has another one."""
        variables = {"OTHER_URL": url(here.cluster.primary, "postgres"), "FLY_ORM_NODES": f"syd={here.wan.address}"}
        demoted = here.start("tests.support.shop:other_db", server=here.cluster.replica, **variables)
        here.live_in_lax(demoted.address())
        with here.cluster.apply_delay(30):
            here.query("INSERT INTO item (name, price) VALUES ('a', 0)")
            here.cluster.replica.stop()
            with ThreadPoolExecutor(1) as pool:
                counting = pool.submit(shop.count_once_it_is_back, str(tmp_path / "begun"))
                until((tmp_path / "begun").exists)
                here.cluster.replica.start()
                assert counting.result() == 1

    def test_one_that_has_lost_its_database_meanwhile_connects_anew(self, here):
        shop.stock(["a"])
        here.cluster.primary.restart()
        here.cluster.wait_for_replica()
        shop.stock(["b"])
        assert here.names() == ["a", "b"]

    def test_one_is_called_although_the_connection_to_the_replica_here_was_lost(self, here):
        assert here.names() == []
        here.cluster.replica.restart()
        with pytest.raises(peewee.OperationalError):
            here.names()
        shop.stock(["a"])
        assert here.stored() == ["a"]


class TestRegions:
    def test_are_what_is_configured_and_their_nodes(self, here):
        assert (fly_orm.my_region(), fly_orm.primary_region(), fly_orm.is_primary()) == ("lax", "syd", False)
        assert fly_orm.regions() == ["lax", "syd"]
        assert fly_orm.nodes() == fly_orm.nodes("syd") == [Node(region="syd", address=here.wan.address)]
        assert fly_orm.nodes("ams") == []

    @pytest.mark.parametrize("function", [shop.stock_from_there, shop.stock_by_call])
    def test_other_than_the_primary_one_pass_on_what_was_written_for_them(self, here, function):
        """A caller in ams sees what a node in lax has had written in syd."""
        lax = here.start(server=here.cluster.replica, FLY_REGION="lax", FLY_ORM_NODES=f"syd={here.wan.address}")
        node = Node(region="lax", address=lax.address())
        here.live_in_lax(here.wan.address, region="ams", nodes={"lax": (node,)})
        with here.cluster.apply_delay(0.2):
            assert fly_orm.call("lax", function, "a", wait="write") == "lax"
            assert fly_orm.why().route is Route.REGION
            assert here.names() == ["a"]


def test_the_secret_is_needed_for_calls_as_well(here):
    here.live_in_lax(here.wan.address, secret=SECRET + "!")
    with pytest.raises(fly_orm.AuthenticationFailed):
        shop.where()


def test_a_decorated_function_is_pickled_by_name():
    assert pickle.loads(pickle.dumps(shop.count)) is shop.count
