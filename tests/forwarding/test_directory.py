"""Which nodes of a region are candidates, in which order, and how those that were away come back."""

from __future__ import annotations

import logging
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import dns.rcode
import pytest

from fly_orm import AuthenticationFailed, ConfigurationError, NotDelivered
from fly_orm.deadline import now
from fly_orm.discovery.dns import DnsDiscovery
from fly_orm.discovery.lookup import CachePolicy
from fly_orm.discovery.static import StaticDiscovery
from fly_orm.forwarding.channels import MAX_OPENING
from fly_orm.protocol.encoding import encode
from fly_orm.protocol.handshake import GuardedResponder
from fly_orm.protocol.messages import Welcome
from fly_orm.protocol.secret import Secrets
from fly_orm.settings import Settings
from fly_orm.testing import Wan
from fly_orm.testing.contract.tools import soon, until
from fly_orm_transports.inprocess import InProcessTransport
from fly_orm_transports.pyro5 import Pyro5Transport
from tests.forwarding.nodes import AT_ONCE, Listed, Refusing, node
from tests.support.dns_server import DnsServer
from tests.support.two_regions import OTHER_SECRET, SECRET


class Welcoming:
    """Welcomes whoever greets it."""

    trusted = True

    def respond(self, request):
        return encode(Welcome(region="syd", databases=[]))

    def last_reply(self, *, is_full=False):
        return None

    def gone(self):
        pass


class Place:
    """Nodes at addresses that a test starts and stops, and how many callers each has at the moment."""

    def __init__(self, transport):
        self.transport = transport
        self.callers = {}
        self._servers = {}

    def start(self, address, secret=SECRET):
        """A node listens; returns its address, with the port that was bound."""
        callers = []

        def accept(peer):
            inner = Welcoming()
            inner.gone = lambda: callers.remove(peer)
            callers.append(peer)
            return GuardedResponder(Secrets(secret), inner)

        server = self.transport.serve(address, accept)
        address = server.address
        self.callers[address], self._servers[address] = callers, server
        return address

    def stop(self, address):
        self._servers.pop(address).close(0)

    def close(self):
        for address in list(self._servers):
            self.stop(address)


class Counting:
    """A transport that counts the attempts to connect to each address."""

    def __init__(self, inner):
        self.inner, self.attempts = inner, []

    def connect(self, address, deadline):
        self.attempts.append(address)
        return self.inner.connect(address, deadline)

    def is_local(self, address):
        return True


def free_port():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


@pytest.fixture(params=["pyro5", "inprocess"])
def place(request, tmp_path):
    """Nodes over either transport; an address at which nobody listens yet is ``place.vacant``."""
    with ExitStack() as undo:
        made = Place(Pyro5Transport() if request.param == "pyro5" else InProcessTransport())
        made.vacant = f"127.0.0.1:{free_port()}" if request.param == "pyro5" else tmp_path.name
        undo.callback(made.close)
        yield made


@pytest.fixture
def ipv6():
    """Nodes over the network, whose addresses the DNS can give."""
    with ExitStack() as undo:
        made = Place(Pyro5Transport())
        undo.callback(made.close)
        yield made


@contextmanager
def lent(directory, address):
    """A channel to a node, in use."""
    channels = directory.channels_to(node(address))
    channel = channels.acquire(soon())
    yield channel
    channels.release(channel)


def order(directory):
    return [each.address for each in directory.candidates("syd", soon())]


pytestmark = pytest.mark.usefixtures("threads")


class TestCandidates:
    def test_come_in_random_order(self, make):
        directory = make(Listed("a", "b", "c"))
        assert len({tuple(order(directory)) for _ in range(200)}) == 6

    def test_in_quarantine_come_last(self, make):
        directory = make(Listed("a", "b", "c"))
        directory.quarantine(node("b"), NotDelivered("no"))
        assert {order(directory)[-1] for _ in range(50)} == {"b"}
        assert directory.quarantined == {node("b")}

    def test_of_a_region_without_any_are_looked_up_afresh_before_that_is_an_error(self, make):
        discovery = Listed()
        directory = make(discovery)
        with pytest.raises(
            ConfigurationError, match=r"there is no node in region 'syd': looked in a list; run `fly-orm serve`"
        ):
            order(directory)
        discovery.later = (node("a"),)
        assert order(directory) == ["a"]

    def test_none_of_which_are_in_the_settings_are_an_error_that_names_what_is(self, make):
        given = Settings(nodes={"lax": (), "ams": ()})
        with pytest.raises(
            ConfigurationError,
            match=r"'syd': looked in FLY_ORM_NODES, which names the regions ams and lax; .*FLY_ORM_NODES='syd=ADDRESS",
        ):
            order(make(StaticDiscovery(given)))

    def test_none_of_which_are_in_the_dns_are_an_error_that_says_what_it_answered(self, make):
        with DnsServer() as server:
            directory = make(DnsDiscovery(Settings(app="shop"), resolver=server.resolver()))
            with pytest.raises(
                ConfigurationError,
                match=r"'syd': looked in DNS: AAAA of syd\.shop\.internal at 127\.0\.0\.1 gave NXDOMAIN \d+ s ago; ",
            ):
                order(directory)

    def test_that_cannot_be_looked_up_are_not_said_to_be_none(self, make):
        with DnsServer() as server:
            server.rcode = dns.rcode.SERVFAIL
            directory = make(DnsDiscovery(Settings(app="shop"), resolver=server.resolver()))
            with pytest.raises(NotDelivered, match=r"cannot find out where the nodes of region 'syd' are: .*SERVFAIL"):
                order(directory)

    def test_and_regions_can_be_asked_for(self, make):
        directory = make(StaticDiscovery(Settings(nodes={"syd": (node("a"),), "lax": ()})))
        assert directory.nodes("syd", AT_ONCE) == [node("a")]
        assert directory.nodes("gru", AT_ONCE) == []
        assert directory.regions(AT_ONCE) == ["lax", "syd"]


class TestANodeInQuarantine:
    def test_is_back_when_it_can_be_reached_and_both_are_logged_once(self, make, place, caplog):
        caplog.set_level(logging.INFO, "fly_orm")
        address = place.vacant
        transport = Counting(place.transport)
        directory = make(Listed(address), transport, first_interval=0.01, longest_interval=0.01)
        for _ in range(3):
            directory.quarantine(node(address), NotDelivered("it is not there"))
        until(lambda: len(transport.attempts) > 2)
        assert directory.quarantined
        place.start(address)
        until(lambda: not directory.quarantined)
        until(lambda: len(place.callers[address]) == 2)  # and channels are ready
        assert [record.getMessage() for record in caplog.records] == [
            f"syd={address} could not be reached, and is tried last until it can be reached: it is not there",
            f"syd={address} can be reached again",
        ]

    def test_stays_there_as_long_as_it_holds_another_secret(self, make, place):
        address = place.start(place.vacant, secret=OTHER_SECRET)
        transport = Counting(place.transport)
        directory = make(Listed(address), transport, first_interval=0.01, longest_interval=0.01)
        directory.quarantine(node(address), AuthenticationFailed("no"))
        until(lambda: len(transport.attempts) > 2)
        assert directory.quarantined

    def test_is_back_even_after_a_fault_of_the_transport(self, make, place, monkeypatch):
        address, seen = place.start(place.vacant), []
        monkeypatch.setattr("threading.excepthook", lambda args: seen.append(args.exc_type))

        class Faulty(Counting):
            def connect(self, address, deadline):
                if len(self.attempts) < 2:
                    self.attempts.append(address)
                    raise ZeroDivisionError
                return super().connect(address, deadline)

        directory = make(Listed(address), Faulty(place.transport), first_interval=0.01, longest_interval=0.01)
        directory.quarantine(node(address), NotDelivered("no"))
        until(lambda: not directory.quarantined)
        assert seen == [ZeroDivisionError] * 2

    def test_is_not_taken_for_well_because_of_an_older_channel(self, make, place):
        address = place.start(place.vacant)
        directory = make(Listed(address), place.transport, first_interval=0.01, longest_interval=0.01)
        with lent(directory, address):
            pass
        until(lambda: len(place.callers[address]) >= 2)  # 3, if the first was still lent when others were opened
        refusing = directory._transport = Counting(Refusing())
        directory.quarantine(node(address), NotDelivered("no"))
        until(lambda: len(refusing.attempts) > 2)
        assert directory.quarantined

    def test_is_tried_less_and_less_often(self, make, place, monkeypatch):
        directory = make(Listed("nowhere:1"), first_interval=1.0, longest_interval=5.0)
        intervals = []

        def soon_enough(seconds, function):
            intervals.append(seconds)
            if len(intervals) < 6:
                call_later(0, function)

        call_later = directory._quarantine._timer.call_later
        monkeypatch.setattr(directory._quarantine._timer, "call_later", soon_enough)
        directory.quarantine(node("nowhere:1"), NotDelivered("no"))
        until(lambda: len(intervals) == 6)
        assert intervals == [1.0, 2.0, 4.0, 5.0, 5.0, 5.0]

    def test_is_back_when_a_caller_has_reached_it(self, make):
        directory = make(Listed("a"))
        directory.quarantine(node("a"), NotDelivered("no"))
        directory.mark_reached(node("a"), now())
        assert not directory.quarantined

    def test_is_tried_no_more_once_it_has_vanished(self, make, threads):
        discovery, transport = Listed("nowhere:1"), Counting(Refusing())
        directory = make(discovery, transport, first_interval=0.01, longest_interval=0.01)
        directory.quarantine(node("nowhere:1"), NotDelivered("no"))
        until(lambda: transport.attempts)
        discovery.now = ()
        until(lambda: not directory.quarantined)
        until(lambda: not threads("fly_orm"))

    def test_is_tried_no_more_once_all_is_closed(self, make, threads):
        transport = Counting(Refusing())
        directory = make(Listed("nowhere:1"), transport, first_interval=0.01, longest_interval=0.01)
        directory.quarantine(node("nowhere:1"), NotDelivered("no"))
        until(lambda: transport.attempts)
        directory.close()
        directory.quarantine(node("nowhere:1"), NotDelivered("no"))
        assert not directory.quarantined
        until(lambda: not threads("fly_orm"))

    @pytest.mark.parametrize("kind", ["static", "dns"])
    def test_is_missing_unless_dns_alone_says_that_it_is_a_node(self, make, place, kind):
        """DNS lists all machines of an application."""
        reached, never = place.start(place.vacant), place.vacant
        directory = make(Listed(reached, never), place.transport, kind=kind)
        with lent(directory, reached):
            pass
        place.stop(reached)
        for each in (reached, never):
            directory.quarantine(node(each), NotDelivered("it is not there"))
        assert directory.missing == {node(reached), *([node(never)] if kind == "static" else [])}

    def test_has_its_region_looked_up_in_the_background(self, make, threads):
        with DnsServer() as server:
            server.set("syd", "::1")
            discovery = DnsDiscovery(Settings(app="shop"), resolver=server.resolver(), policy=CachePolicy(min_age=0))
            directory = make(discovery)
            directory.quarantine(directory.nodes("syd", soon())[0], NotDelivered("no"))
            until(lambda: server.asked("syd") == 2)
            until(lambda: not threads("fly_orm lookup"))


class TestChannels:
    def test_to_a_node_that_has_vanished_are_closed_once_they_are_idle(self, make, place):
        address = place.start(place.vacant)
        discovery = Listed(address)
        directory = make(discovery, place.transport)
        with lent(directory, address):
            until(lambda: len(place.callers[address]) == 3)  # this one, and two that are ready
            discovery.now = ()
            assert directory.nodes("syd", AT_ONCE) == []
            until(lambda: len(place.callers[address]) == 1)
        until(lambda: not place.callers[address])

    def test_to_the_nodes_of_other_regions_stay(self, make, place):
        address = place.start(place.vacant)
        directory = make(Listed(address), place.transport)
        channels = directory.channels_to(node(address))
        assert directory.nodes("gru", AT_ONCE) == []
        assert directory.channels_to(node(address)) is channels

    def test_are_opened_ahead_of_need(self, make, place):
        address = place.start(place.vacant)
        directory = make(Listed(address), place.transport)
        directory.warm_up("syd")
        until(lambda: len(place.callers[address]) == 2)

    def test_are_not_opened_ahead_to_a_node_in_quarantine(self, make):
        transport = Counting(Refusing())
        directory = make(Listed("nowhere:1"), transport)
        directory.quarantine(node("nowhere:1"), NotDelivered("no"))
        directory.warm_up("syd")
        assert transport.attempts == []

    def test_of_a_closed_directory_are_closed_when_they_are_given_back(self, make, place):
        address = place.start(place.vacant)
        directory = make(Listed(address), place.transport)
        directory.close()
        with lent(directory, address):
            until(lambda: len(place.callers[address]) == 1)
        until(lambda: not place.callers[address])

    def test_are_opened_a_few_at_a_time(self, make, ipv6):
        """Or the threads of an application that starts would keep each other from being answered in time."""
        address = ipv6.start("[::1]:0")
        with Wan(address, rtt=0.2) as wan, ThreadPoolExecutor(3 * MAX_OPENING) as pool:
            directory = make(Listed(wan.address), ipv6.transport)
            channels = directory.channels_to(node(wan.address))
            futures = [pool.submit(channels.acquire, soon()) for _ in range(3 * MAX_OPENING)]
            until(lambda: wan.connections)
            assert not any(future.done() for future in futures)
            assert wan.connections <= MAX_OPENING
            opened = {future.result() for future in futures}
            assert len(opened) == 3 * MAX_OPENING
            for channel in opened:
                channels.discard(channel)

    def test_are_opened_ahead_as_soon_as_the_dns_has_answered(self, make, ipv6):
        with DnsServer() as server:
            address = ipv6.start("[::1]:0")
            server.set("syd", "::1")
            server.open.clear()
            directory = make(
                DnsDiscovery(Settings(app="shop", listen=address), resolver=server.resolver()), ipv6.transport
            )
            for _ in range(3):
                directory.warm_up("syd")
            assert "has not been answered yet" in directory.describe("syd")  # nor given up: nobody waited for that
            assert ipv6.callers[address] == []
            server.open.set()
            until(lambda: len(ipv6.callers[address]) == 2)
            assert directory.nodes("syd", AT_ONCE) == [node(address)]
