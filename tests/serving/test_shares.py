"""No peer takes all of a node: neither with many leases, nor with long statements."""

from __future__ import annotations

import os
import threading

import pytest

from fly_orm.concurrency.pool import PoolTimeout
from fly_orm.deadline import Deadline
from fly_orm.postgres.primary_pool import PrimaryPool
from fly_orm.protocol.encoding import decode_reply, encode
from fly_orm.protocol.messages import Call, Declined, Done, Returned, Run
from fly_orm.serving.channel_executor import ChannelExecutor
from fly_orm.serving.executor import Executor
from fly_orm.serving.shares import Shares, host_of
from fly_orm.settings import Settings
from fly_orm.sharing.dividing import default_share
from tests.support.waiting import until


class Runner:
    """Runs nothing, and calls somebody else meanwhile."""

    def __init__(self):
        self.meanwhile = lambda: None
        self.replies = []

    def run(self, call, on_start, peer):
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        return Returned(value=b"\xc0")

    def stop(self):
        pass


@pytest.fixture
def runner():
    return Runner()


@pytest.fixture
def peer(cluster, database, runner):
    """Makes a channel of a peer, which says something to a node of three connections."""
    pool = PrimaryPool(database, lambda: cluster.primary.connect(database), max_size=3)
    limits = Settings().with_limits(pool_size=3, peer_leases=2, statement_timeout=1)
    executor = Executor("syd", [pool], runner, limits=limits)
    channels = []

    def make(name):
        channel = ChannelExecutor(executor, name)
        channels.append(channel)
        lease = os.urandom(16)

        def say(*statements, timeout=30.0, **fields):
            run = {"lease": lease, "opens_lease": True, "timeout": timeout, "statements": statements, **fields}
            return decode_reply(channel.respond(encode(Run(database=database, **run))))

        say.call = lambda: decode_reply(channel.respond(encode(Call(function="f", timeout=0.2))))
        say.gone = channel.gone
        return say

    make.executor = executor
    yield make
    for channel in channels:
        channel.gone()
    executor.timer.close()
    pool.close()


BEGIN = {"preamble": [b"BEGIN"]}


def test_a_peer_with_all_its_leases_waits_while_others_are_served(peer):
    ones, twos = [peer("one") for _ in range(3)], peer("two")
    assert all(one(b"SELECT 1", **BEGIN).lease_open for one in ones[:2])
    turned_away = ones[2](b"SELECT 1", timeout=1)
    assert isinstance(turned_away, Declined)
    assert turned_away.reason == "busy"
    assert "one kept all 2 that one peer may have (FLY_ORM_PEER_LEASES) for 1 s" in turned_away.message
    assert twos(b"SELECT 1", **BEGIN).lease_open


def test_a_lease_that_ends_makes_room_for_the_next_of_its_peer(peer):
    ones = [peer("one") for _ in range(3)]
    for one in ones[:2]:
        one(b"SELECT 1", **BEGIN)
    ones[0].gone()
    assert ones[2](b"SELECT 1").result.data == [[b"1"]]


def test_a_lease_that_cannot_be_opened_takes_no_place(peer):
    one = peer("one")
    for _ in range(3):
        assert one(b"SELECT 1", session_settings=[b"SET no_such = 1"]).reason == "session settings"
    assert one(b"SELECT 1").result.data == [[b"1"]]


def test_functions_have_places_of_their_own(peer, runner):
    ones, two = [peer("one") for _ in range(3)], peer("two")
    assert all(one(b"SELECT 1", **BEGIN).lease_open for one in ones[:2])
    replies = []

    def second():
        runner.meanwhile = lambda: replies.extend([ones[2].call(), two.call()])
        replies.append(ones[1].call())

    runner.meanwhile = second
    assert ones[0].call().value == b"\xc0"
    third, other, _ = replies
    assert third.reason == "busy"
    assert "no thread is free to run f: one kept all 2" in third.message
    assert other.value == b"\xc0"


def test_a_statement_ends_after_the_time_that_the_node_allows(peer):
    done = peer("one")(b"SELECT pg_sleep(60)", timeout=None)
    assert done.error.sqlstate == "57014"
    assert done.error.message.endswith(
        "The node allows it 1 s: do less at once, or raise FLY_ORM_STATEMENT_TIMEOUT there"
    )


def test_so_does_a_batch(peer):
    done = peer("one")(*[b"SELECT pg_sleep(0.05)"] * 1000, timeout=None)
    assert done.error.sqlstate == "57014"
    assert "FLY_ORM_STATEMENT_TIMEOUT" in done.error.message


def test_the_time_of_the_caller_is_named_where_it_is_shorter(peer):
    peer.executor.limits = Settings()
    assert "FLY_ORM_RPC_TIMEOUT" in peer("one")(b"SELECT pg_sleep(60)", timeout=1).error.message


@pytest.mark.parametrize(
    "fields",
    [
        {"copy_in": b"1"},
        {"copy_out": True},
        {"copy_in_begins": b"1"},
        {"copy_out": True, "copy_out_in_pieces": True},
        {"commits": True},
    ],
    ids=str,
)
def test_a_request_without_its_statement_is_declined(peer, fields):
    one = peer("one")
    assert one(**fields).reason == "bad request"
    assert isinstance(one(b"SELECT 1"), Done)


@pytest.mark.parametrize(("places", "share"), [(1, 1), (2, 2), (4, 4), (5, 4), (10, 8), (100, 80)])
def test_a_peer_leaves_every_fifth_place_to_others(places, share):
    assert default_share(places) == share


@pytest.mark.parametrize(
    ("peer", "host"),
    [("10.0.0.1:4321", "10.0.0.1"), ("[fdaa::1]:4321", "[fdaa::1]"), ("nats XYZ", "nats XYZ"), ("syd", "syd")],
)
def test_the_processes_of_a_machine_are_one_peer(peer, host):
    assert host_of(peer) == host


def test_a_place_passes_to_the_request_that_has_waited_longest():
    shares, served, may_end = Shares(1), [], threading.Event()

    def wait(name):
        with shares.taken("one", "x", Deadline.after(None)):
            served.append(name)
            may_end.wait()

    shares.take("one", "x", Deadline.after(0))
    threads = [threading.Thread(target=wait, args=(name,)) for name in "abc"]
    for number, thread in enumerate(threads, 1):
        thread.start()
        until(lambda number=number: len(shares._waiting.get(("one", "x"), ())) == number)
    shares.give_back("one", "x")
    with pytest.raises(PoolTimeout):
        shares.take("one", "x", Deadline.after(0))
    may_end.set()
    for thread in threads:
        thread.join()
    assert served == ["a", "b", "c"]
    assert not shares._waiting
    assert not shares._taken


def test_a_request_that_has_stopped_waiting_gets_no_place():
    shares = Shares(1)
    shares.take("one", "x", Deadline.after(0))
    with pytest.raises(PoolTimeout):
        shares.take("one", "x", Deadline.after(0.01))
    assert not shares._waiting
    shares.give_back("one", "x")
    assert not shares._taken


def test_peers_that_have_left_take_no_memory():
    shares = Shares(1)
    for number in range(100):
        with shares.taken(str(number), "x", Deadline.after(0)):
            pass
    assert not shares._taken
    with shares.taken("one", "x", Deadline.after(0)), pytest.raises(PoolTimeout):
        shares.take("one", "x", Deadline.after(0))
