"""Requests for the primary find it in another region, and cost little while it is nowhere."""

from __future__ import annotations

import logging
from contextlib import ExitStack

import pytest

from fly_orm import NoChannel, NoNode, NotDelivered, NotPrimary, OutcomeUnknown, Refused
from fly_orm.discovery.dns import DnsDiscovery
from fly_orm.discovery.lookup import CachePolicy
from fly_orm.discovery.static import StaticDiscovery
from fly_orm.forwarding import primary_region
from fly_orm.forwarding.directory import Directory
from fly_orm.forwarding.fence import Fence
from fly_orm.forwarding.forwarder import Forwarder
from fly_orm.settings import Settings
from fly_orm.testing.contract.tools import soon
from fly_orm.topology import Node, parse_nodes
from tests.forwarding.nodes import Refusing
from tests.support.dns_server import DnsServer
from tests.support.two_regions import settings

pytestmark = pytest.mark.usefixtures("impatient")

REPLICA = NotPrimary("a replica")
GONE = NotDelivered("gone")
BUSY = Refused("busy", reason="busy")
UNAVAILABLE = Refused("no server", reason="unavailable")


class World:
    """What the nodes of three regions do with a request: raise an error, or return their address."""

    def __init__(self, forwarder):
        self.forwarder = forwarder
        self.answers = {}
        self.tried = []

    def request(self, database="shop", **answers):
        """Send a request, whose answers differ from those before as said, and return what became of it."""
        self.answers.update(answers)
        self.tried.clear()
        return self.forwarder.try_primary(database, soon(), self._attempt)

    def fails(self, kind=NotDelivered, **answers):
        """The error of a request that fails."""
        with pytest.raises(kind) as caught:
            self.request(**answers)
        return caught.value

    def _attempt(self, channels):
        address = channels.node.address
        self.tried.append(address)
        answer = self.answers[address]
        if isinstance(answer, BaseException):
            raise answer
        return address


@pytest.fixture
def make(monkeypatch):
    """Makes a world of nodes from the text of FLY_ORM_NODES, or from a discovery."""
    with ExitStack() as undo:

        def make(nodes, region="ams"):
            if isinstance(nodes, str):
                nodes = StaticDiscovery(Settings(nodes=parse_nodes("FLY_ORM_NODES", nodes)))
            monkeypatch.setattr("fly_orm.forwarding.directory.make_discovery", lambda name, settings: nodes)
            forwarder = Forwarder(settings(region), Refusing(), Fence())
            undo.callback(forwarder.close)
            return World(forwarder)

        yield make


@pytest.fixture
def world(make):
    return make("syd=s1 s2, lax=l1, ams=a1")


@pytest.fixture
def clock(monkeypatch):
    """The time at which searches happen, in seconds."""
    time = [100.0]
    monkeypatch.setattr(primary_region, "now", lambda: time[0])
    return time


class TestThePrimaryRegion:
    def test_is_the_only_one_to_get_requests_while_it_accepts_them(self, world):
        for _ in range(10):
            assert world.request(s1=GONE, s2="ok") == "s2"
        assert world.forwarder.primary_of("shop").current == "syd"

    @pytest.mark.parametrize("answer", [BUSY, Refused("?", reason="unknown database"), NoChannel("all in use")])
    def test_is_the_only_one_if_a_node_of_it_may_have_the_primary(self, world, answer):
        world.fails((Refused, NotDelivered), s1=answer, s2=REPLICA)
        assert set(world.tried) == {"s1", "s2"}

    def test_is_not_looked_up_for_a_request_after_another(self, world, monkeypatch):
        monkeypatch.setattr("fly_orm.forwarding.primary.USUAL_SECONDS", 3600.0)
        assert world.request(s1="ok", s2="ok") in ("s1", "s2")
        monkeypatch.setattr(Directory, "candidates", None)  # which would raise
        assert {world.request() for _ in range(50)} == {"s1", "s2"}  # each has its share

    @pytest.mark.parametrize("answer", [BUSY, REPLICA, GONE])
    def test_gets_a_request_once_at_each_node_that_does_not_accept_it(self, world, answer):
        world.request(s1="ok", s2="ok")
        world.fails((Refused, NotDelivered), s1=answer, s2=answer, l1=REPLICA, a1=REPLICA)
        assert sorted(world.tried)[-2:] == ["s1", "s2"]
        assert len(set(world.tried)) == len(world.tried)

    @pytest.mark.parametrize("error", [OutcomeUnknown("?"), KeyboardInterrupt()])
    def test_is_the_only_one_after_a_request_that_may_have_been_executed(self, world, error):
        world.fails(type(error), s1=error, s2=error, l1="ok")
        assert len(world.tried) == 1


class TestAnotherRegion:
    @pytest.mark.parametrize("answer", [REPLICA, GONE, UNAVAILABLE, Refused("?", reason="draining")])
    def test_is_found_and_remembered(self, world, answer, caplog):
        assert world.request(s1=answer, s2=answer, a1=REPLICA, l1="ok") == "l1"
        assert set(world.tried[:2]) == {"s1", "s2"}
        for _ in range(3):
            assert world.request() == "l1"
            assert world.tried == ["l1"]
        (record,) = [record for record in caplog.records if "requests for the primary" in record.getMessage()]
        assert (record.levelno, "'lax' from now on, not to 'syd'" in record.getMessage()) == (logging.WARNING, True)

    def test_may_be_that_of_this_process(self, world):
        assert world.request(s1=REPLICA, s2=REPLICA, l1=REPLICA, a1="ok") == "a1"

    def test_is_forgotten_when_it_declines(self, world):
        world.request(s1=REPLICA, s2=REPLICA, a1=REPLICA, l1="ok")
        assert world.request(l1=REPLICA, s1="ok", s2="ok") in ("s1", "s2")
        assert world.tried[0] == "l1"
        world.request()
        assert world.tried[0] in ("s1", "s2")

    def test_is_not_forgotten_when_it_is_unreachable_for_a_while(self, world):
        world.request(s1=REPLICA, s2=REPLICA, a1=REPLICA, l1="ok")
        assert world.fails(NotPrimary, l1=GONE).failures
        assert world.request(l1="ok") == "l1"

    def test_is_left_for_a_third_one(self, world):
        world.request(s1=REPLICA, s2=REPLICA, a1=REPLICA, l1="ok")
        assert world.request(l1=REPLICA, a1="ok") == "a1"
        assert world.forwarder.primary_of("shop").current == "ams"

    def test_comes_before_nodes_that_could_not_be_reached(self, make):
        world = make("syd=s1 s2, lax=l1 l2")
        for address in ("s1", "s2"):
            world.forwarder.directory.quarantine(Node(region="syd", address=address), GONE)
        world.forwarder.directory.quarantine(Node(region="lax", address="l1"), GONE)
        world.fails(NotDelivered, s1=GONE, s2=GONE, l1=GONE, l2=REPLICA)
        assert (world.tried[0], set(world.tried[1:3]), world.tried[3]) == ("l2", {"s1", "s2"}, "l1")

    def test_is_warmed_up_as_the_primary_one_is(self, world, monkeypatch):
        warmed = []
        monkeypatch.setattr(world.forwarder.directory, "warm_up", warmed.append)
        world.forwarder.warm_up("shop")
        world.request(s1=REPLICA, s2=REPLICA, a1=REPLICA, l1="ok")
        world.forwarder.warm_up("shop")
        assert warmed == ["syd", "lax"]

    def test_is_found_in_the_dns(self, make):
        with DnsServer() as server:
            server.set("lax", "fdaa::1")
            server.records["regions.shop.internal.", "TXT"] = ['"lax,ams"']
            discovery = DnsDiscovery(Settings(app="shop"), resolver=server.resolver(), policy=CachePolicy(min_age=0))
            assert make(discovery).request(**{"[fdaa::1]:7654": "ok"}) == "[fdaa::1]:7654"


class TestASearchThatFindsNothing:
    def test_asks_one_node_of_each_region(self, make):
        world = make("syd=s1, lax=l1 l2 l3, ams=a1 a2 a3")
        world.fails(NotDelivered, s1=GONE, **dict.fromkeys(["l1", "l2", "l3", "a1", "a2", "a3"], REPLICA))
        assert sorted(address[0] for address in world.tried) == ["a", "l", "s"]

    def test_goes_on_to_the_next_node_if_one_cannot_be_reached(self, make):
        world = make("syd=s1, lax=l1 l2")
        assert world.request(s1=GONE, l1=GONE, l2="ok") == "l2"

    def test_is_repeated_less_and_less_often(self, world, clock):
        searches = []
        for tick in range(200):
            clock[0] = 100 + tick / 10
            world.fails(NotDelivered, s1=GONE, s2=GONE, l1=REPLICA, a1=REPLICA)
            if "l1" in world.tried:
                searches.append(clock[0] - 100)
        assert searches == pytest.approx([0, 1, 3, 7, 12, 17], abs=0.15)

    def test_is_repeated_at_once_after_a_request_was_accepted(self, world):
        world.fails(NotDelivered, s1=GONE, s2=GONE, l1=REPLICA, a1=REPLICA)
        world.request(s1="ok")
        assert world.request(s1=REPLICA, s2=REPLICA, l1="ok") == "l1"

    def test_is_in_the_errors_until_the_next_one(self, world, clock):
        for after in (0.0, 0.5):
            clock[0] += after
            error = world.fails(NotDelivered, s1=GONE, s2=GONE, l1=NotPrimary("lax is one"), a1=NotPrimary("ams too"))
            for said in ("primary region 'syd' executed the statement: gone", "lax is one", "ams too"):
                assert said in str(error)
        assert "0.5 s ago" in str(error)

    def test_raises_what_the_primary_region_says(self, world):
        assert type(world.fails(NotPrimary, s1=REPLICA, s2=GONE, l1=GONE, a1=REPLICA)) is NotPrimary

    def test_leaves_no_node_in_the_primary_region_an_error_of_its_own(self, make):
        error = make("lax=l1").fails(NoNode, l1=REPLICA)
        assert "there is no node in region 'syd'" in str(error)


class TestSeveralDatabases:
    def test_each_have_a_region_of_their_own(self, world):
        world.request(s1=REPLICA, s2=REPLICA, a1=REPLICA, l1="ok")
        for _ in range(3):
            assert world.request(database="stock", s1="ok", s2="ok") in ("s1", "s2")
            assert len(world.tried) == 1
            assert world.request(s1=REPLICA, s2=REPLICA) == "l1"
            assert len(world.tried) == 1
