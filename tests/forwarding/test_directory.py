"""Which nodes of a region are tried, in which order, and how those that were away come back."""

from __future__ import annotations

import logging
import socket
import threading
from contextlib import ExitStack, contextmanager

import dns.rcode
import pytest

from fly_orm import AuthenticationFailed, ConfigurationError, Node, NotDelivered, NotPrimary, OutcomeUnknown, Refused
from fly_orm.deadline import Deadline
from fly_orm.discovery.dns import DnsDiscovery
from fly_orm.discovery.lookup import CachePolicy
from fly_orm.discovery.static import StaticDiscovery
from fly_orm.forwarding.channels import AllInUse, OldChannelLost
from fly_orm.forwarding.directory import Directory
from fly_orm.forwarding.forwarder import Forwarder
from fly_orm.protocol.handshake import GuardedResponder
from fly_orm.protocol.messages import Welcome, encode
from fly_orm.settings import Settings
from fly_orm.testing.contract.tools import soon, until
from fly_orm.topology import Topology
from fly_orm_transports.inprocess import InProcessTransport
from fly_orm_transports.pyro5 import Pyro5Transport
from tests.support.dns_server import DnsServer

SECRET = "a secret for tests, long enough"
AT_ONCE = Deadline(at=0.0, timeout=0)
NEVER = 600.0


class Welcoming:
    """Welcomes whoever greets it."""

    trusted = True

    def respond(self, request):
        return encode(Welcome(region="syd", databases=[]))

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
            return GuardedResponder(secret, inner)

        server = self.transport.serve(address, accept)
        address = server.address
        self.callers[address], self._servers[address] = callers, server
        return address

    def stop(self, address):
        self._servers.pop(address).close(0)

    def close(self):
        for address in list(self._servers):
            self.stop(address)


class Listed(StaticDiscovery):
    """The nodes that a test lists, some of which are seen only when a region is looked up afresh."""

    def __init__(self, *addresses):
        self.now = self.later = tuple(node(address) for address in addresses)
        self.refreshes = 0

    def nodes(self, region, deadline):
        return self.now if region == "syd" else ()

    def refresh(self, region, deadline):
        if deadline.timeout != 0:
            self.refreshes += 1
            self.now = self.later

    def describe(self, region):
        return "a list"


class Refusing:
    """A transport to nodes none of which is there."""

    def connect(self, address, deadline):
        raise NotDelivered(f"nobody at {address}")

    def is_local(self, address):
        return True


class Counting:
    """A transport that counts the attempts to connect to each address."""

    def __init__(self, inner):
        self.inner, self.attempts = inner, []

    def connect(self, address, deadline):
        self.attempts.append(address)
        return self.inner.connect(address, deadline)

    def is_local(self, address):
        return True


def node(address):
    return Node(region="syd", address=address)


def lax(**given):
    return Settings(topology=Topology(region="lax", primary_region="syd"), secret=SECRET, **given)


def free_port():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


_older = set()


def threads(name="fly_orm"):
    """Those of the test: others may have left some behind that wait for their database to be forgotten."""
    return [thread for thread in set(threading.enumerate()) - _older if thread.name.startswith(name)]


@pytest.fixture(autouse=True)
def _no_thread_outlives_a_test():
    _older.clear()
    _older.update(threading.enumerate())
    yield
    until(lambda: not threads() and not threads("fly-orm"))


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


@pytest.fixture
def make():
    """Makes directories that are closed in the end; no node can be reached unless there is a transport to it."""
    with ExitStack() as undo:

        def make(discovery, transport=None, *, first_interval=NEVER, longest_interval=NEVER):
            given = {"first_interval": first_interval, "longest_interval": longest_interval}
            made = Directory(lax(), transport or Refusing(), discovery, **given)
            undo.callback(made.close)
            return made

        yield make


@pytest.fixture
def forwarding(monkeypatch):
    """Makes forwarders that find nodes by a discovery, and are closed in the end."""
    with ExitStack() as undo:

        def make(discovery):
            monkeypatch.setattr("fly_orm.forwarding.directory.make_discovery", lambda name, settings: discovery)
            made = Forwarder(lax(), Refusing())
            undo.callback(made.close)
            return made

        yield make


@contextmanager
def lent(directory, address):
    """A channel to a node, in use."""
    channels = directory.channels_to(node(address))
    channel = channels.acquire(soon())
    yield channel
    channels.release(channel)


def order(directory):
    return [each.address for each in directory.candidates("syd", soon())]


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
                match=r"'syd': looked in DNS: AAAA of syd\.shop\.internal at 127\.0\.0\.1 gave NXDOMAIN 0 s ago; ",
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
            f"syd={address} could not be reached, and is tried last until it can be: it is not there",
            f"syd={address} can be reached again",
        ]

    def test_stays_there_as_long_as_it_holds_another_secret(self, make, place):
        address = place.start(place.vacant, secret="some other secret, as long")
        transport = Counting(place.transport)
        directory = make(Listed(address), transport, first_interval=0.01, longest_interval=0.01)
        directory.quarantine(node(address), AuthenticationFailed("no"))
        until(lambda: len(transport.attempts) > 2)
        assert directory.quarantined

    def test_is_not_taken_for_well_because_of_an_older_channel(self, make, place):
        address = place.start(place.vacant)
        directory = make(Listed(address), place.transport, first_interval=0.01, longest_interval=0.01)
        with lent(directory, address):
            pass
        until(lambda: len(place.callers[address]) == 2)
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
        directory.mark_reached(node("a"))
        assert not directory.quarantined

    def test_is_tried_no_more_once_it_has_vanished(self, make):
        discovery, transport = Listed("nowhere:1"), Counting(Refusing())
        directory = make(discovery, transport, first_interval=0.01, longest_interval=0.01)
        directory.quarantine(node("nowhere:1"), NotDelivered("no"))
        until(lambda: transport.attempts)
        discovery.now = ()
        until(lambda: not directory.quarantined)
        until(lambda: not directory._quarantine._timer._pending and not threads("fly_orm probe"))

    def test_is_tried_no_more_once_all_is_closed(self, make):
        transport = Counting(Refusing())
        directory = make(Listed("nowhere:1"), transport, first_interval=0.01, longest_interval=0.01)
        directory.quarantine(node("nowhere:1"), NotDelivered("no"))
        until(lambda: transport.attempts)
        directory.close()
        directory.quarantine(node("nowhere:1"), NotDelivered("no"))
        assert not directory.quarantined
        until(lambda: not threads())

    def test_has_its_region_looked_up_in_the_background(self, make):
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


class Script:
    """An attempt that does for each address, in turn, what a test says: raise an error, or return a value."""

    def __init__(self, **steps):
        self.steps = {address: list(each) if isinstance(each, list) else [each] for address, each in steps.items()}
        self.tried = []

    def __call__(self, channels):
        address = channels.node.address
        self.tried.append(address)
        step = self.steps[address].pop(0)
        if isinstance(step, BaseException):
            raise step
        return step


def older(said="lost"):
    error = OldChannelLost(said)
    error.__cause__ = NotDelivered(said)
    return error


class TestTryingNodes:
    def test_is_tried_until_one_takes_it(self, forwarding):
        forwarder = forwarding(Listed("a", "b", "c"))
        for _ in range(20):
            script = Script(a=NotDelivered("no"), b=Refused("no"), c=None)
            assert forwarder.try_nodes("syd", soon(), script) is None
            assert script.tried[-1] == "c"

    def test_that_is_not_reached_is_quarantined(self, forwarding):
        forwarder = forwarding(Listed("a", "b"))
        for _ in range(20):
            forwarder.try_nodes("syd", soon(), Script(a=NotDelivered("no"), b=1))
        assert forwarder.directory.quarantined == {node("a")}
        script = Script(a=NotDelivered("no"), b=1)
        assert forwarder.try_nodes("syd", soon(), script) == 1
        assert script.tried == ["b"]

    @pytest.mark.parametrize("error", [AllInUse("busy"), Refused("no"), NotPrimary("no")])
    def test_that_answers_or_is_busy_is_not(self, forwarding, error):
        forwarder = forwarding(Listed("a", "b"))
        for _ in range(20):
            forwarder.try_nodes("syd", soon(), Script(a=error, b=1))
        assert forwarder.directory.quarantined == set()

    @pytest.mark.parametrize("outcome", [1, Refused("no")])
    def test_in_quarantine_is_back_once_it_was_reached_as_the_last_resort(self, forwarding, outcome):
        forwarder = forwarding(Listed("a", "b"))
        forwarder.directory.quarantine(node("a"), NotDelivered("no"))
        script = Script(a=outcome, b=Refused("no"))
        if outcome == 1:
            assert forwarder.try_nodes("syd", soon(), script) == 1
        else:
            with pytest.raises(Refused):
                forwarder.try_nodes("syd", soon(), script)
        assert script.tried == ["b", "a"]
        assert forwarder.directory.quarantined == set()

    def test_is_tried_again_after_an_older_channel_was_lost(self, forwarding):
        forwarder = forwarding(Listed("a"))
        script = Script(a=[older(), older(), 1])
        assert forwarder.try_nodes("syd", soon(), script) == 1
        assert forwarder.directory.quarantined == set()

    def test_is_quarantined_if_a_new_channel_is_lost_as_well(self, forwarding):
        forwarder = forwarding(Listed("a"))
        with pytest.raises(NotDelivered, match="one; two") as caught:
            forwarder.try_nodes("syd", soon(), Script(a=[older("one"), NotDelivered("two")]))
        assert [type(failure) for failure in caught.value.failures] == [NotDelivered, NotDelivered]
        assert forwarder.directory.quarantined == {node("a")}

    @pytest.mark.parametrize("error", [OutcomeUnknown("?"), KeyError("?"), KeyboardInterrupt()])
    def test_ends_with_whatever_else_is_raised(self, forwarding, error):
        forwarder = forwarding(Listed("a"))
        with pytest.raises(type(error)):
            forwarder.try_nodes("syd", soon(), Script(a=error))

    def test_is_tried_no_more_when_time_is_over(self, forwarding):
        forwarder = forwarding(Listed("a"))
        with pytest.raises(NotDelivered, match="no attempt was made within 0 s"):
            forwarder.try_nodes("syd", AT_ONCE, Script())

    @pytest.mark.parametrize(
        ("errors", "raised", "said"),
        [
            ([NotDelivered("x"), NotDelivered("y")], NotDelivered, "Is `fly-orm serve` running.*They come from a list"),
            ([NotDelivered("x"), AllInUse("y")], NotDelivered, "x|y"),
            ([AllInUse("x"), AllInUse("y")], AllInUse, "x|y"),
            ([AuthenticationFailed("x"), AuthenticationFailed("y")], AuthenticationFailed, "x|y"),
            ([NotDelivered("x"), Refused("y", reason="busy")], Refused, "x|y"),
            ([NotPrimary("x"), Refused("y")], NotPrimary, "x|y"),
        ],
    )
    def test_is_in_the_error_if_none_takes_it(self, forwarding, errors, raised, said):
        forwarder = forwarding(Listed("a", "b"))
        with pytest.raises(raised, match=f"no node of the primary region 'syd' ran it: .*({said})") as caught:
            forwarder.try_nodes("syd", soon(), Script(a=errors[0], b=errors[1]), action="ran it")
        assert type(caught.value) is raised
        assert set(caught.value.failures) == set(errors)

    def test_of_another_region_can_be_meant(self, forwarding):
        with pytest.raises(ConfigurationError, match="no node in region 'gru'"):
            forwarding(Listed("a")).try_nodes("gru", soon(), Script())


class TestNewNodes:
    def test_are_tried_when_nobody_else_was_reached(self, forwarding):
        discovery = Listed("a")
        discovery.later = (node("a"), node("b"))
        script = Script(a=NotDelivered("no"), b=1)
        assert forwarding(discovery).try_nodes("syd", soon(), script) == 1
        assert script.tried == ["a", "b"]

    def test_are_not_looked_for_when_a_node_was_reached(self, forwarding):
        discovery = Listed("a")
        discovery.later = (node("a"), node("b"))
        with pytest.raises(Refused):
            forwarding(discovery).try_nodes("syd", soon(), Script(a=Refused("no")))
        assert discovery.refreshes == 0

    def test_that_are_none_leave_the_error_as_it_was(self, forwarding):
        discovery = Listed("a")
        discovery.later = ()
        with pytest.raises(NotDelivered, match="executed the statement: no way"):
            forwarding(discovery).try_nodes("syd", soon(), Script(a=NotDelivered("no way")))
        assert discovery.refreshes == 1

    def test_are_found_in_the_dns(self, forwarding):
        with DnsServer() as server:
            server.set("syd", "fdaa::1")
            discovery = DnsDiscovery(Settings(app="shop"), resolver=server.resolver(), policy=CachePolicy(min_age=0))
            forwarder = forwarding(discovery)
            assert forwarder.directory.nodes("syd", soon()) == [node("[fdaa::1]:7654")]
            server.set("syd", "fdaa::2")
            script = Script(**{"[fdaa::1]:7654": NotDelivered("no"), "[fdaa::2]:7654": 1})
            assert forwarder.try_nodes("syd", soon(), script) == 1
