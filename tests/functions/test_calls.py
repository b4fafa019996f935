"""Functions that run in the primary region, on nodes that are processes of their own."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import peewee
import psycopg2
import pytest
from playhouse.db_url import connect

import fly_orm
from fly_orm import NotDelivered, NotPortable, NotSupported, OutcomeUnknown, Refused, RemoteError, ResultLost, Route
from fly_orm.runtime import runtime
from fly_orm.sessions.context import current
from fly_orm.testing import Wan
from fly_orm.testing.contract.tools import until
from fly_orm.topology import Node
from tests.support import shop, two_regions
from tests.support.nodes import NodeProcess, node_process, url
from tests.support.two_regions import SECRET, Regions, close, settings


@dataclass(kw_only=True)
class Shop(Regions):
    """The test application in lax, and what it needs elsewhere."""

    node: NodeProcess = field(init=False)
    address: str = field(init=False)
    wan: Wan = field(init=False)
    db: Any = field(default=None, init=False)

    def open(self) -> None:
        self.node = self.start()
        self.address = self.node.address()
        self.wan = self.undo.enter_context(two_regions.way.network(self.address))
        self.live_in_lax(self.wan.address)

    def start(self, *arguments: str, server: Any = None, **variables: str) -> NodeProcess:
        """Another node, by default of the primary."""
        variables = {"SHOP_URL": url(server or self.cluster.primary, self.name), **variables}
        return self.undo.enter_context(node_process("tests.support.shop:db", *arguments, **variables))

    def live_in_lax(self, *addresses: str, region: str = "lax", **changes: Any) -> None:
        """Be a process of a region with the replica, which knows these nodes in syd, from now on."""
        self.leave()
        nodes = {"syd": tuple(Node(region="syd", address=address) for address in addresses)}
        fly_orm.configure(settings(region, nodes={**nodes, **changes.pop("nodes", {})}, **changes))
        self.db = self.database(self.cluster.replica)
        self.db.bind(shop.MODELS)

    def leave(self) -> None:
        """Have no database here any more."""
        if self.db is not None:
            close(self.db)
            self.db = None
            gc.collect()  # a wrapped database that is still there is waited for

    def database(self, server: Any, **options: Any) -> Any:
        """A database of the process that lives in lax at present."""
        return fly_orm.wrap(self.unwrapped(server), **options)

    def names(self) -> list[str]:
        """Those of the items that the replica here shows."""
        return read_here(self.db, "SELECT name FROM item ORDER BY id")

    def stored(self) -> list[str]:
        """Those of the items on the primary."""
        return self.query("SELECT coalesce(array_agg(name ORDER BY id), '{}') FROM item")


def read_here(db: Any, sql: str) -> list[Any]:
    """The first column of what is read, if it was read locally."""
    rows = db.execute_sql(sql).fetchall()
    assert fly_orm.why().route is Route.LOCAL
    return [row[0] for row in rows]


@pytest.fixture
def bare(cluster, database, transport_between):
    """The application's tables, in a database that no node serves."""
    with ExitStack() as undo:
        made = Shop(cluster=cluster, name=database, undo=undo)
        plain = connect(url(cluster.primary, database))
        with plain.bind_ctx(shop.MODELS), plain.connection_context():
            plain.create_tables(shop.MODELS)
        cluster.wait_for_replica()
        yield made


@pytest.fixture
def here(bare):
    """The application in lax, with one node in syd."""
    bare.open()
    return bare


class TestACall:
    def test_runs_on_a_node_of_the_primary_region_and_is_read_back_here(self, here):
        assert shop.where() == (here.node.pid, "syd", True)
        item = shop.stock(["a", "b"], price=3)
        served = fly_orm.why()
        assert (item.name, item.price, served.route, served.node) == ("b", 3, Route.PRIMARY, f"syd={here.wan.address}")
        assert here.names() == ["a", "b"]
        assert served.rpc > 0

    def test_costs_one_round_trip(self, here):
        before = settled(here)
        shop.stock([str(number) for number in range(50)])
        assert here.wan.round_trips - before == 1

    def test_can_be_run_here_instead(self, here):
        assert shop.where.local() == (os.getpid(), "lax", False)
        shop.stock.local(["a"])
        assert here.names() == ["a"]

    def test_in_the_primary_region_is_a_plain_call(self, bare):
        fly_orm.configure(settings("syd"))
        bare.database(bare.cluster.primary).bind(shop.MODELS)
        assert shop.where() == (os.getpid(), "syd", True)
        unportable = object()
        assert shop.give_back(unportable) == ((unportable,), {})
        assert fly_orm.call(fly_orm.PRIMARY, shop.region) == "syd"

    def test_names_a_region(self, here):
        assert fly_orm.call(fly_orm.PRIMARY, shop.region) == "syd"
        assert fly_orm.call("syd", shop.where)[0] == here.node.pid
        assert fly_orm.call("lax", shop.region) == "lax"
        with pytest.raises(fly_orm.NoNode, match="no node in region 'ams'"):
            fly_orm.call("ams", shop.region)

    def test_takes_a_method_as_well(self, here):
        keeper = shop.Keeper(name="ann")
        assert fly_orm.call("syd", keeper.greet, "bob") == "ann greets bob in syd"
        assert fly_orm.call("lax", keeper.greet, "bob") == "ann greets bob in lax"

    def test_keeps_types(self, here):
        till = shop.give_back(shop.Till(3), (1, {2}), key=shop.Size.LARGE)
        assert (till[0][0].takings, till[0][1], till[1]) == (3, (1, {2}), {"key": shop.Size.LARGE})

    def test_takes_and_returns_model_instances(self, here):
        shop.stock(["a"])
        item = shop.Item.get()
        (back,), _ = shop.give_back(item)
        assert (type(back), back.__data__, back.dirty_fields) == (shop.Item, item.__data__, [])
        assert shop.fetch("a") == item

    def test_of_a_method_takes_its_instance_along(self, here):
        assert shop.Keeper(name="ann").greet("bob") == "ann greets bob in syd"
        assert shop.Keeper(name="ann").greet.local("bob") == "ann greets bob in lax"

    def test_with_arguments_that_do_not_fit_is_a_type_error_before_anything_is_sent(self, here):
        with pytest.raises(TypeError, match="unexpected keyword"):
            shop.count(unknown=1)

    def test_by_many_threads_at_once(self, here):
        with ThreadPoolExecutor(16) as pool:
            pids = set(pool.map(lambda number: stock_and_read(here, number), range(48)))
        assert pids == {here.node.pid}
        assert len(here.stored()) == 48


@contextmanager
def replay_resumed_later(cluster):
    """A block at whose start replay is paused, and goes on after a moment."""
    cluster.pause_replay()
    resume = threading.Timer(0.3, cluster.resume_replay)
    resume.start()
    yield
    resume.join()


def stock_and_read(here, number):
    with here.db.connection_context():
        shop.stock([f"item {number}"])
        assert shop.Item.get(shop.Item.name == f"item {number}")
        assert fly_orm.why().route is Route.LOCAL
        return shop.where()[0]


def settled(here):
    """The number of round trips, once there are as many channels as are opened ahead of their use."""
    here.db.connect(reuse_if_open=True)
    trips = -1
    while trips != here.wan.round_trips:
        trips = here.wan.round_trips
        shop.where()
        threading.Event().wait(0.1)
        trips += 1  # of that call
    return trips


@pytest.mark.over_every_transport
class TestTheWait:
    def test_is_for_what_the_function_wrote(self, here):
        with replay_resumed_later(here.cluster):
            shop.stock(["a"])
            assert fly_orm.why().wait > 0.1
        assert here.names() == ["a"]

    def test_of_a_function_that_wrote_nothing_is_none(self, here):
        with here.cluster.replay_paused():
            here.query("INSERT INTO item (name, price) VALUES ('of another', 1)")
            assert shop.count() == 1
            assert fly_orm.why().wait == 0
            assert here.name not in current().pins

    def test_that_runs_out_keeps_the_result_and_pins_the_reads(self, here, caplog):
        here.live_in_lax(here.wan.address, replication_timeout=0.2)
        with here.cluster.replay_paused():
            assert shop.stock(["a"]).name == "a"
            assert [item.name for item in shop.Item.select()] == ["a"]
            assert fly_orm.why().route is Route.PRIMARY
        assert "has replayed only" in caplog.text

    def test_can_be_left_out_for_a_call(self, here):
        with here.cluster.replay_paused():
            fly_orm.call(fly_orm.PRIMARY, shop.stock, ["a"], wait="none")
            assert fly_orm.why().wait == 0
            assert here.names() == []

    @pytest.mark.parametrize(("volatility", "waits"), [("VOLATILE", True), ("IMMUTABLE", False)])
    def test_is_for_a_select_of_a_function_that_may_write(self, here, volatility, waits):
        body = "INSERT INTO item (name, price) VALUES ('a', 1) RETURNING id" if waits else "SELECT 1"
        here.query(f'CREATE FUNCTION "Bump"() RETURNS int LANGUAGE sql {volatility} AS $${body}$$')
        with replay_resumed_later(here.cluster):
            shop.sql('SELECT count(*), "Bump"() FROM sale')
            assert (fly_orm.why().wait > 0) is waits

    @pytest.mark.parametrize(
        ("hidden", "read"),
        [
            ("CREATE VIEW bumped AS SELECT bump()", "SELECT * FROM bumped"),
            (
                "CREATE FUNCTION stable() RETURNS int STABLE LANGUAGE plpgsql AS $$BEGIN RETURN bump(); END$$",
                "SELECT stable()",
            ),
        ],
        ids=["a view", "a stable function"],
    )
    def test_is_for_what_calls_such_a_function(self, here, hidden, read):
        here.query(
            "CREATE FUNCTION bump() RETURNS int LANGUAGE sql AS "
            f"$$INSERT INTO item (name, price) VALUES ('a', 1) RETURNING id$$; {hidden}"
        )
        with replay_resumed_later(here.cluster):
            shop.sql(read)
            assert fly_orm.why().wait > 0

    def test_is_for_a_large_object(self, here):
        with replay_resumed_later(here.cluster):
            shop.write_large_object()
            assert fly_orm.why().wait > 0

    def test_is_as_long_as_the_most_patient_wrapping_of_a_database_wants(self, here):
        impatient = [here.database(here.cluster.replica, wait="none") for _ in range(8)]
        assert len(impatient) == 8
        with replay_resumed_later(here.cluster):
            shop.stock(["a"])
        assert here.names() == ["a"]

    def test_that_is_interrupted_lets_the_reads_see_the_write_all_the_same(self, here):
        def interrupt(*_):
            raise KeyboardInterrupt

        with here.cluster.replay_paused():
            before = signal.signal(signal.SIGALRM, interrupt)
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            try:
                with pytest.raises(KeyboardInterrupt):
                    shop.stock(["a"])
            finally:
                signal.signal(signal.SIGALRM, before)
            assert [item.name for item in shop.Item.select()] == ["a"]

    @pytest.mark.parametrize(
        "setting", ["SET LOCAL synchronous_commit = off", "SELECT set_config('synchronous_commit', 'off', true)"]
    )
    def test_is_long_enough_for_an_asynchronous_commit(self, here, setting):
        for number in range(10):
            shop.sql("BEGIN", setting, f"INSERT INTO item (name, price) VALUES ('{number}', 1)", "COMMIT")
            assert len(here.names()) == number + 1

    def test_is_for_every_database_that_the_function_wrote_to(self, here):
        other = f"{here.name}_other"
        here.cluster.create_database(other)
        try:
            with ExitStack() as undo:
                both = Shop(cluster=here.cluster, name=other, undo=undo)
                both.query("CREATE TABLE other (name text)")
                here.cluster.wait_for_replica()
                node = here.start("tests.support.shop:other_db", OTHER_URL=url(here.cluster.primary, other))
                here.live_in_lax(node.address())
                away = both.database(here.cluster.replica)
                away.connect()
                for number in range(20):
                    shop.write_in_both(str(number))
                    assert len(read_here(away, "SELECT name FROM other")) == number + 1
                    assert len(here.names()) == number + 1
                node.kill()
        finally:
            here.cluster.wait_for_replica()
            here.cluster.drop_database(other)


class TestWhatItRaises:
    def test_is_of_the_same_class_with_its_attributes_and_what_was_committed_before_is_seen(self, here):
        with pytest.raises(shop.SoldOut, match="a: only 2 left") as caught:
            shop.sell("a", 2)
        assert (caught.value.item, caught.value.left) == ("a", 2)
        assert "in sell" in "\n".join(caught.value.__notes__)
        assert here.names() == ["a"]

    def test_is_a_builtin_error(self, here):
        with pytest.raises(ValueError, match="no good") as caught:
            shop.fail("value", "no good", 3)
        assert caught.value.args == ("no good", 3)

    def test_is_a_remote_error_if_its_class_is_not_known(self, here):
        with pytest.raises(RemoteError, match="why not") as caught:
            shop.fail("unregistered", "why not")
        assert caught.value.class_name == "tests.support.shop.Unregistered"

    def test_never_ends_this_process(self, here):
        with pytest.raises(RemoteError) as caught:
            shop.fail("exit", 3)
        assert caught.value.class_name.endswith("SystemExit")
        assert shop.where()[0] == here.node.pid

    def test_is_what_the_database_said(self, here):
        with pytest.raises(peewee.IntegrityError) as caught:
            shop.duplicate("a")
        assert isinstance(caught.value.orig, psycopg2.errors.UniqueViolation)
        assert caught.value.orig.diag.constraint_name == "item_name"
        assert here.names() == ["a"]

    def test_is_the_models_own_error(self, here):
        with pytest.raises(shop.Item.DoesNotExist):
            shop.fetch("nothing")

    def test_does_not_say_of_this_call_what_is_so_of_another(self, here):
        with pytest.raises(RemoteError, match="of something else") as caught:
            shop.call_outward()
        assert not isinstance(caught.value, NotDelivered)
        assert here.names() == ["outward"]


class TestWhatCannotTravel:
    def test_is_refused_before_anything_is_sent_naming_the_argument(self, here):
        before = settled(here)
        with pytest.raises(NotPortable, match=r"argument 'names'\[1\].*Event"):
            shop.stock(["a", threading.Event()])
        with pytest.raises(NotPortable, match=r"argument 'values'\[1\]"):
            shop.give_back(1, threading.Event())
        assert here.wan.round_trips == before

    def test_as_a_result_is_said_to_be_lost_after_the_wait(self, here):
        with pytest.raises(ResultLost, match=r"is committed.*the result.*function"):
            shop.cannot_come_back("a")
        assert here.names() == ["a"]

    def test_is_more_than_a_message_holds(self, here):
        with pytest.raises(ResultLost, match="bytes long"):
            shop.too_much("a", 33 * 1024 * 1024)
        assert here.names() == ["a"]
        with pytest.raises(NotSupported, match="bytes long"):
            shop.give_back(b"x" * 33 * 1024 * 1024)
        assert shop.count() == 1


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


class TestTime:
    def test_that_is_over_cancels_what_runs(self, here):
        with pytest.raises(peewee.OperationalError, match="timeout=seconds"):
            fly_orm.call(fly_orm.PRIMARY, shop.sql, "SELECT pg_sleep(30)", timeout=1)
        until(lambda: sleepers(here) == 0)

    def test_that_is_over_stops_the_function_between_statements(self, here, tmp_path):
        path = tmp_path / "said"
        with pytest.raises((peewee.OperationalError, OutcomeUnknown)):
            shop.go_on_and_on(str(path))
        until(path.exists)
        until(lambda: "the call timed out" in path.read_text())
        assert 0 < here.query("SELECT count(*) FROM item") < 1000

    def test_that_is_over_before_a_thread_is_free_means_it_has_not_run(self, bare, tmp_path):
        node = bare.start("--pool-size", "1")
        bare.live_in_lax(node.address())
        path = tmp_path / "runs"
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(shop.note_and_sleep, str(path), 2)
            until(path.exists)
            with pytest.raises(Refused, match="no thread is free"):
                fly_orm.call(fly_orm.PRIMARY, shop.stock, ["a"], timeout=0.7)
            first.result()
        assert bare.stored() == ["before 2", "after 2"]

    def test_that_is_over_stops_a_server_side_cursor(self, here, tmp_path):
        path = tmp_path / "said"
        with pytest.raises((psycopg2.Error, peewee.OperationalError, OutcomeUnknown)):
            shop.read_slowly(str(path))
        until(lambda: "the call timed out" in path.read_text())

    def test_that_no_clock_can_hold_stops_nothing_else(self, here):
        assert fly_orm.call(fly_orm.PRIMARY, shop.count, timeout=1e12) == 0
        with pytest.raises(peewee.OperationalError, match="the call timed out"):
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


def sleepers(here):
    return here.query(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
        " AND datname = current_database()"
    )


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
            sleeping = pool.submit(shop.note_and_sleep, str(path), 8)
            until(path.exists)
            for number in range(5):
                shop.stock([str(number)])
            assert not sleeping.done()
            sleeping.result()
        assert len(bare.stored()) == 7

    def test_one_with_many_calls_under_way_takes_statements_as_well(self, here):
        with ThreadPoolExecutor(30) as pool:
            calls = [pool.submit(fly_orm.call, fly_orm.PRIMARY, shop.sql, "SELECT pg_sleep(2)") for _ in range(30)]
            until(lambda: sleepers(here) == 10)
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

    def test_an_outcome_that_is_unknown_can_be_looked_for_at_once(self, here):
        settled(here)
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

    def test_one_that_has_lost_its_database_meanwhile_connects_anew(self, here):
        shop.stock(["a"])
        here.cluster.primary.restart()
        here.cluster.wait_for_replica()
        shop.stock(["b"])
        assert here.names() == ["a", "b"]


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
