"""After a function has run, the replica has what it wrote."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack, contextmanager
from functools import partial

import pytest

import fly_orm
from fly_orm import Route
from fly_orm.adapters.peewee.wrapped import WrappedPeewee
from fly_orm.forwarding.directory import Directory
from fly_orm.forwarding.fence import Fence
from fly_orm.routing.freshness import Freshness
from tests.support import shop
from tests.support.nodes import url
from tests.support.shop_in_lax import Shop, read_here
from tests.support.waiting import once_waited_for


@contextmanager
def replay_resumed_later(cluster):
    """A block at whose start replay is paused. It goes on a moment after the first wait for the replica has begun."""
    cluster.pause_replay()
    with once_waited_for(cluster.resume_replay):
        yield


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

    def test_is_none_but_later_reads_show_what_the_function_has_read(self, here):
        with here.cluster.replay_paused():
            here.query("INSERT INTO item (name, price) VALUES ('of another', 1)")
            assert shop.count() == 1
            assert [item.name for item in shop.Item.select()] == ["of another"]
            assert fly_orm.why().route is Route.PRIMARY
        here.cluster.wait_for_replica()
        assert here.names() == ["of another"]  # read locally

    def test_that_runs_out_keeps_the_result_and_pins_the_reads(self, here, caplog):
        here.live_in_lax(here.wan.address, replication_timeout=0.2)
        with here.cluster.replay_paused():
            assert shop.stock(["a"]).name == "a"
            assert [item.name for item in shop.Item.select()] == ["a"]
            assert fly_orm.why().route is Route.PRIMARY
        assert "has replayed only" in caplog.text

    @pytest.mark.parametrize(
        "step",
        [
            (Directory, "mark_reached"),
            (Fence, "met"),
            (Freshness, "wait"),
            (WrappedPeewee, "clear_cached_results"),
        ],
    )
    def test_may_fail_like_every_step_after_the_reply_without_failing_the_call(self, here, monkeypatch, step):
        def fail(*args, **options):
            raise RuntimeError("planted")

        with monkeypatch.context() as planted:
            planted.setattr(*step, fail)
            assert shop.stock(["a"]).name == "a"
        assert here.stored() == ["a"]

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
            try:
                with pytest.raises(KeyboardInterrupt), once_waited_for(partial(os.kill, os.getpid(), signal.SIGALRM)):
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
