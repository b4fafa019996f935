"""The transports that ship with fly_orm do what every transport does, and a little more."""

from __future__ import annotations

import pytest

from fly_orm.deadline import Deadline
from fly_orm.errors import NotDelivered, OutcomeUnknown
from fly_orm.testing import TransportContract
from fly_orm.testing.contract.tools import HELD_TIMEOUT, SOON, Held, Node, in_child, in_thread, result, soon
from fly_orm.transport import MAX_MESSAGE_BYTES
from fly_orm_transports.inprocess import InProcessTransport
from fly_orm_transports.pyro5 import Pyro5Transport
from tests.support.threads import ending_threads


class Shipped(TransportContract):
    """What holds beyond the contract."""

    @pytest.fixture(autouse=True)
    def _no_thread_outlives_a_test(self):
        with ending_threads():
            yield

    def test_an_error_names_the_address_and_the_limit_that_was_reached(self, node):
        address = node.serve(Held()).server.address
        channel = node.connect()
        with pytest.raises(NotDelivered, match=f"{MAX_MESSAGE_BYTES} are allowed") as long:
            channel.exchange(b"x" * (MAX_MESSAGE_BYTES + 1), soon())
        with pytest.raises(OutcomeUnknown, match=r"\b1 s") as late:
            node.connect().exchange(b"write", Deadline.after(1))
        node.server.close(0)
        with pytest.raises(NotDelivered) as nobody:
            node.connect(address)
        assert [caught.value.address for caught in (long, late, nobody)] == [address] * 3

    @pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
    def test_a_responder_that_breaks_harms_only_its_own_channel(self, node, error):
        def answer(request):
            if request == b"break":
                raise error("planted")
            return request

        node.serve(answer)
        other, channel = node.connect(), node.connect()
        with pytest.raises(OutcomeUnknown):
            channel.exchange(b"break", soon())
        assert other.exchange(b"fine", soon()) == b"fine"

    def test_a_second_caller_is_turned_away(self, node):
        held = Held()
        channel = node.serve(held).connect()
        pending = in_thread(channel.exchange, b"first", soon(HELD_TIMEOUT))
        assert held.started.wait(SOON)
        with pytest.raises(NotDelivered):
            channel.exchange(b"second", soon())
        held.released.set()
        assert result(pending) == b"late first"

    def test_a_forked_child_cannot_use_the_channel_and_does_the_parents_server_no_harm(self, node):
        channel = node.serve().connect()
        channel.exchange(b"before", soon())

        def child():
            with pytest.raises(NotDelivered):
                channel.exchange(b"child", soon())
            channel.close()
            node.server.close(1)
            assert node.responder.gone_calls == 0, "nothing of the parent's was to be touched"

        in_child(child)
        assert channel.exchange(b"after", soon()) == b"after"
        assert node.connect().exchange(b"new", soon()) == b"new"
        assert (node.responders[0].requests, node.responders[0].gone_calls) == ([b"before", b"after"], 0)

    def test_a_forked_child_may_serve(self, node):
        channel = node.serve().connect()

        def child():
            other = Node(node.transport, node.listen).serve()
            assert other.connect().exchange(b"in the child", soon()) == b"in the child"
            other.close()

        in_child(child)
        assert channel.exchange(b"after", soon()) == b"after"


class TestPyro5(Shipped):
    transport = Pyro5Transport
    listen = "127.0.0.1:0"
    malformed_addresses = ("", "abc", "host:", "host:port", "::1:7654", "http://host:80")
    remote_addresses = ("192.0.2.1:7654", "0.0.0.0:7654", "[::]:7654", "no-such-name.invalid:7654")


class TestInProcess(Shipped):
    transport = InProcessTransport
    listen = "a name"
    crosses_processes = False
