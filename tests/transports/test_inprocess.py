"""What lies between the two ends within one process can be slow and fail, and nothing passes it but bytes."""

from __future__ import annotations

import time

import peewee
import pytest

import fly_orm
from fly_orm.deadline import Deadline
from fly_orm.errors import NotDelivered, OutcomeUnknown
from fly_orm.testing.contract.tools import Held, in_thread, result, soon
from fly_orm_transports.inprocess import InProcessTransport, link_to
from tests.support.shop import give_back
from tests.support.threads import node_of
from tests.support.two_regions import close, named, settings
from tests.support.waiting import PATIENCE, until

NAME = "a node of syd"


@pytest.fixture
def link():
    yield link_to(NAME)
    link_to(NAME).heal()


@pytest.fixture
def node(link):
    with node_of(InProcessTransport(), NAME) as node:
        yield node


def test_a_name_has_one_link(link):
    assert link_to(NAME) is link
    assert link_to("another") is not link


def test_a_round_trip_takes_as_long_as_was_said(node, link):
    channel = node.serve().connect()
    link.rtt = 0.2
    began = time.monotonic()
    assert channel.exchange(b"hello", soon()) == b"hello"
    assert time.monotonic() - began >= 0.2


def test_a_negative_round_trip_is_refused(link):
    with pytest.raises(ValueError, match="rtt must be 0 or more seconds"):
        link.rtt = -1


def test_a_request_that_is_too_far_away_is_not_executed_after_its_channel_was_given_up(node, link):
    channel = node.serve().connect()
    link.rtt = 20
    with pytest.raises(OutcomeUnknown):
        channel.exchange(b"write", Deadline.after(0.5))
    node.server.close(1)
    assert node.requests == []


def test_a_lost_request_is_not_executed(node, link):
    channel = node.serve().connect()
    lost = link.cut_before_request()
    with pytest.raises(OutcomeUnknown):
        channel.exchange(b"write", soon())
    assert lost.is_set()
    node.gone(0)
    assert node.requests == []
    assert node.connect().exchange(b"next", soon()) == b"next"


def test_a_lost_reply_is_that_of_a_request_that_was_executed(node, link):
    channel = node.serve().connect()
    lost = link.cut_before_reply()
    with pytest.raises(OutcomeUnknown):
        channel.exchange(b"write", soon())
    assert lost.is_set()
    assert (node.responder.requests, node.responder.replied) == ([b"write"], 1)


def test_a_client_can_be_lost_while_its_request_is_executed(node, link):
    held = Held()
    channel = node.serve(held).connect()
    lost = link.cut_after_request()
    with pytest.raises(OutcomeUnknown):
        channel.exchange(b"write", soon())
    assert lost.wait(5)
    assert held.started.wait(5)
    node.gone(0)
    assert node.responder.replied == 0


def test_a_cut_link_drops_what_is_there_and_refuses_what_comes(node, link):
    held = Held()
    idle, busy = node.serve(held).connect(), node.connect()
    pending = in_thread(busy.exchange, b"write", soon())
    assert held.started.wait(5)
    link.cut()
    with pytest.raises(OutcomeUnknown):
        result(pending)
    with pytest.raises(NotDelivered):
        idle.exchange(b"write", soon())
    with pytest.raises(NotDelivered, match="the link is cut"):
        node.connect()
    assert [responder.gone_calls for responder in node.responders] == [1, 1, 1]
    link.heal()
    held.released.set()
    assert node.connect().exchange(b"write", soon()) == b"late write"


def test_healing_takes_back_what_has_not_happened_yet(node, link):
    channel = node.serve().connect()
    link.cut_before_reply()
    link.rtt = 20
    link.heal()
    assert channel.exchange(b"hello", soon()) == b"hello"


@pytest.fixture
def lax(cluster, database):
    """A database in lax, whose node in syd is a part of the same process."""
    primary, replica = (
        peewee.PostgresqlDatabase(**named(server, database)) for server in (cluster.primary, cluster.replica)
    )
    syd = fly_orm.wrap(primary, settings=settings("syd", transport="inprocess"))
    lax = fly_orm.wrap(replica, settings=settings("lax", NAME, transport="inprocess"))
    with fly_orm.serve(syd, listen=NAME, settings=settings("syd", transport="inprocess")):
        yield lax
        close(lax)


@pytest.mark.parametrize("point", ["cut_before_reply", "cut_after_request"])
def test_a_write_whose_reply_is_lost_was_executed_and_says_that_it_may_have_been(lax, link, point):
    lax.execute_sql("CREATE TABLE t (i int)")
    lost = getattr(link, point)()
    with pytest.raises(OutcomeUnknown):
        lax.execute_sql("INSERT INTO t VALUES (1)")
    assert lost.wait(PATIENCE)
    with fly_orm.primary():  # where the request may still run
        until(lambda: lax.execute_sql("SELECT count(*) FROM t").fetchone() == (1,))


def test_what_a_function_is_given_and_returns_are_copies(lax, link):
    fly_orm.configure(settings("lax", NAME, transport="inprocess"))
    sent = ["a", {"b": (1, None)}]
    [came_back], _ = give_back(sent)
    assert came_back == sent
    assert came_back is not sent
    assert came_back[1] is not sent[1]
