"""What was given up does not happen later, whatever held it up on its way."""

from __future__ import annotations

import pickle
import threading
import time

import pytest

import fly_orm
from fly_orm import OutcomeUnknown, TransactionLost
from fly_orm.deadline import SETTLING_TIME, Deadline
from fly_orm.forwarding import node_clock, sealed_channel
from fly_orm.serving import replies
from fly_orm.topology import Node
from fly_orm_transports.pyro5 import Pyro5Transport
from tests.support.two_regions import settings

pytestmark = pytest.mark.usefixtures("no_spare_channels")

TIMEOUT = 1.2


@pytest.fixture
def db(regions):
    """A database in lax that gives up soon, with a channel to the node that is open."""
    regions.query("CREATE TABLE item (name text)")
    regions.cluster.wait_for_replica()
    made = regions.lax(options={"rpc_timeout": TIMEOUT})
    regions.lax().execute_sql("CREATE TABLE other ()")  # the node has a connection then
    insert(made, "warm")
    return made


def insert(db, name):
    return db.execute_sql("INSERT INTO item VALUES (%s)", (name,))


def names(regions):
    return regions.query("SELECT coalesce(string_agg(name, ' ' ORDER BY name), '') FROM item")


def is_held_up(regions, request):
    """The error of a request that the network holds until its caller has given up."""
    regions.wan.stall()
    with pytest.raises(fly_orm.FlyOrmError) as caught:
        request()
    return caught.value


def arrives(regions):
    """Let the network go on, and give the node the time to begin what it must not."""
    regions.wan.heal()
    time.sleep(0.2)
    assert regions.query(_OPEN) == 0


_OPEN = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'"


class TestWhatArrivesAfterItsCallerGaveUp:
    def test_is_not_executed_if_it_is_a_statement(self, regions, db):
        error = is_held_up(regions, lambda: insert(db, "late"))
        assert isinstance(error, OutcomeUnknown)
        arrives(regions)
        assert names(regions) == "warm"

    def test_is_not_executed_if_it_is_a_batch(self, regions, db):
        cursor = db.connection().cursor()
        error = is_held_up(regions, lambda: cursor.executemany("INSERT INTO item VALUES (%s)", [("late",)] * 3))
        assert isinstance(error, OutcomeUnknown)
        arrives(regions)
        assert names(regions) == "warm"

    def test_is_not_executed_if_it_is_a_commit(self, regions, db):
        db.begin()
        insert(db, "late")
        error = is_held_up(regions, db.commit)
        assert isinstance(error, OutcomeUnknown)
        arrives(regions)
        assert names(regions) == "warm"

    def test_is_not_executed_if_it_is_a_transaction_in_one_string(self, regions, db):
        error = is_held_up(regions, lambda: db.execute_sql("BEGIN; INSERT INTO item VALUES ('late'); COMMIT"))
        assert isinstance(error, OutcomeUnknown)
        arrives(regions)
        assert names(regions) == "warm"

    def test_is_rolled_back_if_it_is_in_a_transaction(self, regions, db):
        db.begin()
        insert(db, "late")
        assert isinstance(is_held_up(regions, lambda: insert(db, "later")), TransactionLost)
        db.rollback()
        arrives(regions)
        assert names(regions) == "warm"

    def test_is_executed_by_a_caller_that_has_no_limit(self, regions, db):
        patient = regions.lax(options={"rpc_timeout": None})
        insert(patient, "patient")
        assert names(regions) == "patient warm"


class TestAnUnknownOutcome:
    def test_says_from_when_on_it_is_final(self, regions, db):
        error = is_held_up(regions, lambda: insert(db, "late"))
        assert 0 < error.settled_after <= SETTLING_TIME
        assert f"for another {error.settled_after:.1f} s" in str(error)
        assert pickle.loads(pickle.dumps(error)).settled_after == error.settled_after

    def test_is_final_after_the_deadline_if_the_channel_breaks_before(self, regions):
        regions.query("CREATE TABLE item (name text)")
        db = regions.lax(options={"rpc_timeout": 30})
        insert(db, "warm")
        regions.wan.cut_after_request()
        with pytest.raises(OutcomeUnknown) as caught:
            insert(db, "late")
        assert 20 < caught.value.settled_after <= 30 + SETTLING_TIME

    def test_says_so_for_a_commit_too(self, regions, db):
        db.begin()
        insert(db, "late")
        assert 0 < is_held_up(regions, db.commit).settled_after <= TIMEOUT + SETTLING_TIME

    def test_has_no_bound_without_a_deadline(self, regions, db):
        patient = regions.lax(options={"rpc_timeout": None})
        insert(patient, "warm")
        regions.wan.cut_before_reply()
        with pytest.raises(OutcomeUnknown, match="is not known, so look for it more than once") as caught:
            insert(patient, "now")
        assert caught.value.settled_after is None


class TestBesideAnEarlierRelease:
    def test_a_node_that_does_not_tell_its_clock_gives_no_bound(self, regions, db, monkeypatch):
        monkeypatch.setattr(replies, "now", lambda: None)
        old = regions.lax(options={"rpc_timeout": TIMEOUT, "settings": settings("lax", regions.wan.address)})
        insert(old, "old")
        error = is_held_up(regions, lambda: insert(old, "late"))
        assert (type(error).__mro__[1], error.settled_after) == (OutcomeUnknown, None)

    def test_a_caller_that_gives_no_instant_is_served(self, regions, db, monkeypatch):
        monkeypatch.setattr(node_clock.NodeClock, "earliest", lambda self, instant: None)
        insert(db, "old")
        assert names(regions) == "old warm"


class TestAClockThatHasJumped:
    """The node's, or that of the caller, has stood still while its machine was suspended."""

    @pytest.fixture(autouse=True)
    def clocks(self, monkeypatch):
        """What is known of the node's clock over each channel that is opened from now on."""
        made = []

        def make():
            made.append(node_clock.NodeClock())
            return made[-1]

        monkeypatch.setattr(sealed_channel, "NodeClock", make)
        return made

    @staticmethod
    def jump(clocks, seconds):
        for clock in clocks:
            clock._least += seconds
            clock._most += seconds

    def test_costs_one_more_attempt_if_a_request_seems_to_come_too_late(self, regions, clocks, db):
        before = len(clocks)
        self.jump(clocks, -60.0)
        insert(db, "after")
        assert len(clocks) == before + 1
        assert names(regions) == "after warm"

    def test_is_noticed_with_the_next_reply(self, regions, clocks, db):
        self.jump(clocks, 60.0)
        insert(db, "after")
        is_held_up(regions, lambda: insert(db, "late"))
        arrives(regions)
        assert names(regions) == "after warm"


def test_the_clock_is_asked_again_after_a_long_silence(regions, db, monkeypatch):
    monkeypatch.setattr(node_clock, "MAX_AGE", 0.0)
    before = regions.wan.round_trips
    insert(db, "after")
    assert regions.wan.round_trips - before == 2
    assert names(regions) == "after warm"


def test_a_channel_that_was_opened_during_a_stall_does_not_shorten_what_follows(regions, monkeypatch):
    greet, stall = sealed_channel.SealedChannel.greet, 1.5

    def held_up(channel, deadline):
        monkeypatch.setattr(sealed_channel.SealedChannel, "greet", greet)
        regions.wan.stall()
        healing = threading.Timer(stall, regions.wan.heal)
        healing.start()
        greet(channel, deadline)
        healing.join()

    monkeypatch.setattr(sealed_channel.SealedChannel, "greet", held_up)
    channel = sealed_channel.open_channel(
        Pyro5Transport(),
        Node(region="syd", address=regions.wan.address),
        secrets=settings("lax").secrets,
        region="lax",
        deadline=Deadline.after(30),
    )
    deadline = Deadline.after(10)
    assert channel.node_timeout(deadline) > deadline.remaining() - stall / 2
    assert channel._clock.earliest(deadline.at) > deadline.at - stall  # both ends have the same clock here
    channel.close()
