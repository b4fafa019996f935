"""One node after the other is tried, until one takes what it is given."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from fly_orm import (
    AuthenticationFailed,
    ConfigurationError,
    NoChannel,
    NotDelivered,
    NotPrimary,
    OutcomeUnknown,
    Refused,
)
from fly_orm.discovery.dns import DnsDiscovery
from fly_orm.discovery.lookup import CachePolicy
from fly_orm.forwarding.channels import OldChannelLost
from fly_orm.forwarding.fence import Fence
from fly_orm.forwarding.forwarder import Forwarder
from fly_orm.settings import Settings
from fly_orm.testing.contract.tools import soon
from tests.forwarding.nodes import AT_ONCE, Listed, Refusing, node
from tests.support.dns_server import DnsServer
from tests.support.two_regions import settings

pytestmark = pytest.mark.usefixtures("threads")


@pytest.fixture
def forwarding(monkeypatch):
    """Makes forwarders that find nodes by a discovery, and are closed in the end."""
    with ExitStack() as undo:

        def make(discovery):
            monkeypatch.setattr("fly_orm.forwarding.directory.make_discovery", lambda name, settings: discovery)
            made = Forwarder(settings("lax"), Refusing(), Fence())
            undo.callback(made.close)
            return made

        yield make


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

    @pytest.mark.parametrize("error", [NoChannel("busy"), Refused("no"), NotPrimary("no")])
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
            ([NotDelivered("x"), NoChannel("y")], NotDelivered, "x|y"),
            ([NoChannel("x"), NoChannel("y")], NoChannel, "x|y"),
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
