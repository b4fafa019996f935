"""What holds for every transport that ships with fly_orm."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from transport_tools import SOON, Held, Node, Recorder, in_child, in_thread, node_of, soon, until

from fly_orm.deadline import Deadline
from fly_orm.errors import ConfigurationError, NotDelivered, OutcomeUnknown
from fly_orm.transport import MAX_MESSAGE_BYTES, STRANGER_MAX_MESSAGE_BYTES
from fly_orm_transports.inprocess import InProcessTransport
from fly_orm_transports.pyro5 import Pyro5Transport


@pytest.fixture(params=["pyro5", "inprocess"])
def node(request):
    choices = {"pyro5": (Pyro5Transport, "127.0.0.1:0"), "inprocess": (InProcessTransport, "a name")}
    make, listen = choices[request.param]
    with node_of(make(), listen) as made:
        yield made


@pytest.mark.parametrize("size", [0, 1, 300, 1_000_000, MAX_MESSAGE_BYTES])
def test_a_reply_is_the_responders_bytes_at_any_allowed_size(node, size):
    message = os.urandom(1000) * (size // 1000) + b"x" * (size % 1000)
    channel = node.serve().connect()
    reply = channel.exchange(message, soon(20))
    assert type(reply) is bytes
    assert reply == message
    assert type(node.responder.requests[0]) is bytes


def test_every_exchange_of_a_channel_reaches_its_own_responder_in_order(node):
    node.serve()
    channels = [node.connect() for _ in range(3)]
    for number in range(4):
        for index, channel in enumerate(channels):
            channel.exchange(b"%d %d" % (index, number), soon())
    assert [r.requests for r in node.responders] == [[b"%d %d" % (i, n) for n in range(4)] for i in range(3)]


def test_the_responder_is_told_who_the_peer_is(node):
    node.serve().connect()
    assert node.responder.peer


def test_many_channels_are_answered_at_once(node):
    together = threading.Barrier(40)

    def answer(request):
        together.wait(SOON)
        return request[::-1]

    node.serve(answer)
    with ThreadPoolExecutor(40) as pool:
        requests = [b"request %d" % n for n in range(40)]
        replies = list(pool.map(lambda request: node.connect().exchange(request, soon(10)), requests))
    assert replies == [request[::-1] for request in requests]


def test_a_channel_may_move_between_threads(node):
    channel = node.serve().connect()
    for number in range(5):
        request = b"%d" % number
        assert in_thread(channel.exchange, request, soon()).result(SOON) == request


def test_another_instance_of_the_transport_reaches_the_server(node):
    node.serve()
    channel = type(node.transport)().connect(node.server.address, soon())
    assert channel.exchange(b"hello", soon()) == b"hello"
    channel.close()


def test_where_nobody_listens_nothing_is_delivered(node):
    address = node.serve().server.address
    node.server.close(0)
    with pytest.raises(NotDelivered) as caught:
        node.connect(address)
    assert caught.value.address == address


def test_an_address_is_served_once(node):
    address = node.serve().server.address
    with pytest.raises(ConfigurationError):
        node.transport.serve(address, Recorder)


def test_an_address_is_free_again_after_close(node):
    address = node.serve().server.address
    node.connect().exchange(b"one", soon())
    node.server.close(0)
    assert node.serve(listen=address).connect().exchange(b"two", soon()) == b"two"


def test_a_request_over_the_limit_is_not_delivered(node):
    channel = node.serve().connect()
    with pytest.raises(NotDelivered, match="allowed"):
        channel.exchange(b"x" * (MAX_MESSAGE_BYTES + 1), soon())
    assert node.responder.requests == []


def test_a_reply_over_the_limit_leaves_the_outcome_unknown(node):
    channel = node.serve(lambda request: b"x" * (MAX_MESSAGE_BYTES + 1)).connect()
    with pytest.raises(OutcomeUnknown):
        channel.exchange(b"write", soon(20))
    assert node.responder.requests == [b"write"]


def test_a_stranger_may_send_little_and_does_not_get_more_answered(node):
    channel = node.serve(trusted=False).connect()
    assert channel.exchange(b"x" * STRANGER_MAX_MESSAGE_BYTES, soon())
    with pytest.raises((NotDelivered, OutcomeUnknown)):
        channel.exchange(b"x" * (STRANGER_MAX_MESSAGE_BYTES + 1), soon())
    until(lambda: node.responder.gone_calls == 1)
    assert len(node.responder.requests) == 1


def test_a_stranger_who_becomes_trusted_may_send_much(node):
    node.serve(trusted=False)
    channel = node.connect()
    node.responder.trusted = True
    channel.exchange(b"proof", soon())
    assert channel.exchange(b"x" * 100_000, soon())


def test_no_reply_means_that_the_connection_is_dropped(node):
    channel = node.serve(lambda request: None).connect()
    with pytest.raises(OutcomeUnknown):
        channel.exchange(b"bad", soon())
    until(lambda: node.responder.gone_calls == 1)


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_a_responder_that_breaks_harms_only_its_own_channel(node, error):
    def answer(request):
        if request == b"break":
            raise error("planted")
        return request

    node.serve(answer)
    other, channel = node.connect(), node.connect()
    with pytest.raises(OutcomeUnknown):
        channel.exchange(b"break", soon())
    assert other.exchange(b"fine", soon()) == b"fine"


def test_an_expired_deadline_means_not_delivered(node):
    channel = node.serve().connect()
    with pytest.raises(NotDelivered):
        channel.exchange(b"write", Deadline.after(0))
    assert node.responder.requests == []


def test_connecting_with_an_expired_deadline_is_not_delivered(node):
    node.serve()
    with pytest.raises(NotDelivered):
        node.transport.connect(node.server.address, Deadline.after(0))


@pytest.mark.parametrize("timeout", [None, 1e12])
def test_a_deadline_may_be_far_away_or_never_come(node, timeout):
    channel = node.serve().connect()
    assert channel.exchange(b"hello", Deadline.after(timeout)) == b"hello"


def test_a_reply_that_comes_too_late_is_an_unknown_outcome_and_never_anothers_reply(node):
    held = Held()
    channel = node.serve(held).connect()
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown, match=r"0\.2 s"):
        channel.exchange(b"write", Deadline.after(0.2))
    assert 0.2 <= time.monotonic() - began < 2
    until(lambda: node.responder.gone_calls == 1)
    assert node.responder.replied == 0, "gone() was to be called while respond() runs"
    held.released.set()
    with pytest.raises(NotDelivered):
        channel.exchange(b"next", soon())
    until(lambda: node.responder.replied == 1)
    assert (node.responder.requests, node.responder.gone_calls) == ([b"write"], 1)


class Interrupted(BaseException):
    """Such as gevent.Timeout or KeyboardInterrupt."""


@contextmanager
def interrupted_after(seconds):
    def interrupt(*_):
        raise Interrupted

    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def test_an_interrupted_exchange_leaves_the_channel_unusable(node):
    held = Held()
    channel = node.serve(held).connect()
    with pytest.raises(Interrupted), interrupted_after(0.1):
        channel.exchange(b"write", soon())
    until(lambda: node.responder.gone_calls == 1)
    with pytest.raises(NotDelivered):
        channel.exchange(b"next", soon())
    held.released.set()


def test_closing_a_channel_reports_the_peer_gone_once(node):
    channel = node.serve().connect()
    channel.exchange(b"hello", soon())
    channel.close()
    channel.close()
    until(lambda: node.responder.gone_calls == 1)
    with pytest.raises(NotDelivered):
        channel.exchange(b"next", soon())
    node.server.close(0)
    assert node.responder.gone_calls == 1


def test_closing_a_channel_ends_the_exchange_of_another_thread(node):
    held = Held()
    channel = node.serve(held).connect()
    pending = in_thread(channel.exchange, b"write", soon(20))
    assert held.started.wait(SOON)
    channel.close()
    with pytest.raises(OutcomeUnknown):
        pending.result(SOON)
    held.released.set()


def test_a_second_caller_is_turned_away(node):
    held = Held()
    channel = node.serve(held).connect()
    pending = in_thread(channel.exchange, b"first", soon(20))
    assert held.started.wait(SOON)
    with pytest.raises(NotDelivered):
        channel.exchange(b"second", soon())
    held.released.set()
    assert pending.result(SOON) == b"late first"


def test_close_lets_the_request_being_answered_finish_and_delivers_its_reply(node):
    held = Held()
    node.serve(held)
    idle, busy, late = node.connect(), node.connect(), node.connect()
    pending = in_thread(busy.exchange, b"write", soon(20))
    assert held.started.wait(SOON)
    closing = in_thread(node.server.close, 20)
    with pytest.raises(NotDelivered):
        until(lambda: node.connect().close())
    assert not closing.done()
    # A request that meets the end of its connection on the way is not executed, though its sender cannot know that.
    with pytest.raises((NotDelivered, OutcomeUnknown)):
        late.exchange(b"new", soon())
    held.released.set()
    assert pending.result(SOON) == b"late write"
    closing.result(SOON)
    assert [r.gone_calls for r in node.responders[:3]] == [1, 1, 1]
    assert [r.requests for r in node.responders[:3]] == [[], [b"write"], []]
    for channel in idle, busy, late:
        with pytest.raises(NotDelivered):
            channel.exchange(b"next", soon())


def test_close_waits_no_longer_than_the_drain_timeout(node):
    held = Held()
    channel = node.serve(held).connect()
    pending = in_thread(channel.exchange, b"write", soon(20))
    assert held.started.wait(SOON)
    began = time.monotonic()
    closing = in_thread(node.server.close, 0.2)
    with pytest.raises(OutcomeUnknown):
        pending.result(SOON)
    assert 0.2 <= time.monotonic() - began < 2
    until(lambda: node.responder.gone_calls == 1)
    held.released.set()
    closing.result(SOON)
    assert node.responder.gone_calls == 1


def test_every_responder_has_been_told_when_close_returns(node):
    node.serve()
    for channel in [node.connect() for _ in range(10)]:
        channel.exchange(b"hello", soon())
    node.server.close(0)
    assert [r.gone_calls for r in node.responders] == [1] * 10
    node.server.close(0)
    assert [r.gone_calls for r in node.responders] == [1] * 10


def test_a_forked_child_cannot_use_the_channel_and_does_the_parent_no_harm(node):
    channel = node.serve().connect()
    channel.exchange(b"before", soon())

    def child():
        with pytest.raises(NotDelivered):
            channel.exchange(b"child", soon())
        channel.close()
        node.server.close(1)
        assert node.responder.gone_calls == 0, "letting go of the parent's channel was to touch nothing of the parent's"

    in_child(child)
    assert channel.exchange(b"after", soon()) == b"after"
    assert node.connect().exchange(b"new", soon()) == b"new"
    assert (node.responders[0].requests, node.responders[0].gone_calls) == ([b"before", b"after"], 0)


def test_a_child_forked_during_an_exchange_does_not_disturb_it(node):
    held = Held()
    channel = node.serve(held).connect()
    pending = in_thread(channel.exchange, b"write", soon(20))
    assert held.started.wait(SOON)

    def child():
        with pytest.raises(NotDelivered):
            channel.exchange(b"child", soon())
        channel.close()

    in_child(child)
    held.released.set()
    assert pending.result(SOON) == b"late write"


def test_a_forked_child_may_serve_and_connect_itself(node):
    channel = node.serve().connect()

    def child():
        other = Node(node.transport, node.listen).serve()
        assert other.connect().exchange(b"in the child", soon()) == b"in the child"
        other.close()

    in_child(child)
    assert channel.exchange(b"after", soon()) == b"after"
