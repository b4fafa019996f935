"""The connection to NATS is lost, and made again."""

import socket

import pytest
from fly_orm_nats import NatsTransport, shared_connection
from fly_orm_nats.connection import NatsConnection
from split_transport import to
from stopwatch import Stopwatch

from fly_orm.deadline import Deadline
from fly_orm.errors import ConfigurationError, NotDelivered, OutcomeUnknown
from fly_orm.testing.contract.tools import SOON, Held, ask, in_thread, node_of, result, soon, until
from tests.support.nats_server import nats_cluster, nats_server


@pytest.fixture
def own_nats(monkeypatch):
    with nats_server() as server:
        monkeypatch.setenv("NATS_URL", server.url)
        yield server


def connected(node):
    """A channel, once the node is served again."""
    channels = []

    def connect():
        try:
            channels.append(node.connect())
        except NotDelivered:
            return False
        return True

    until(connect)
    return channels[0]


def test_after_a_restart_of_nats_requests_are_answered_again(own_nats):
    held = Held()
    with node_of(NatsTransport(), "nats:syd") as node:
        node.serve(held)
        idle, busy = node.connect(), node.connect()
        pending = in_thread(busy.exchange, b"write", soon(30))
        assert held.started.wait(SOON)
        watch = Stopwatch()
        own_nats.stop()
        with pytest.raises(OutcomeUnknown, match="connection to NATS was lost"):
            result(pending)
        assert watch.seconds < 15
        until(lambda: [responder.gone_calls for responder in node.responders] == [1, 1])
        for channel in idle, busy:
            with pytest.raises(NotDelivered):
                ask(channel, b"next")
        with pytest.raises(NotDelivered, match="cannot connect to NATS; check NATS_URL"):
            node.connect()
        own_nats.start()
        held.released.set()
        assert ask(connected(node), b"again") == b"late again"
        assert node.requests == [b"write", b"again"], "nothing was to be sent again"


def test_a_node_that_cannot_even_try_to_connect_tries_again(own_nats, monkeypatch):
    """For instance, it has no file descriptor left for an event loop."""
    failures = [OSError(24, "Too many open files"), MemoryError()]

    def make(connector):
        if failures:
            raise failures.pop()
        return NatsConnection(connector)

    with node_of(NatsTransport(), "nats:syd") as node:
        node.serve()
        with monkeypatch.context() as shortage:
            shortage.setattr(shared_connection, "NatsConnection", make)
            own_nats.restart()
            until(lambda: not failures)
        assert ask(connected(node), b"hello") == b"hello"


def test_a_server_can_be_closed_while_nats_is_away(own_nats):
    with node_of(NatsTransport(), "nats:syd") as node:
        ask(node.serve().connect(), b"hello")
        own_nats.stop()
        until(lambda: node.responder.gone_calls)
        node.server.close(5)


def test_who_is_told_of_one_server_of_a_cluster_goes_on_with_another():
    with nats_cluster() as (first, second), node_of(to(first.url), "nats:syd") as node:
        ask(node.serve().connect(), b"one")
        first.stop()
        assert ask(connected(node), b"two") == b"two"
        assert node.transport._shared._current.client.connected_url.port == second.port
        node.close()


def test_where_nats_is_not_there_nothing_can_be_served(monkeypatch):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # bound and not listening: nothing else takes the port
        monkeypatch.setenv("NATS_URL", f"nats://me:hidden@127.0.0.1:{sock.getsockname()[1]}")
        with node_of(NatsTransport(), "nats:syd") as node:
            with pytest.raises(ConfigurationError, match=r"cannot connect to NATS; check NATS_URL: .*failed") as caught:
                node.serve()
            with pytest.raises(NotDelivered) as other:
                node.connect("nats:syd")
    assert "hidden" not in f"{caught.value} {other.value}"


@pytest.mark.slow
def test_a_nats_server_that_says_nothing_is_given_up_in_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        transport = to(f"nats://127.0.0.1:{silent.getsockname()[1]}")
        watch = Stopwatch()
        with pytest.raises(NotDelivered, match=r"0\.5 s"):
            transport.connect("nats:syd", Deadline.after(0.5))
        assert 0.5 <= watch.seconds < 15
        until(lambda: transport._shared._current.ended)


@pytest.mark.slow
def test_the_connection_is_closed_when_nobody_needs_it(nats):
    with node_of(NatsTransport(), "nats:syd") as node:
        node.serve()
        ask(node.connect(), b"hello")
        connection = node.transport._shared._current
        node.close()
        until(lambda: connection._loop.is_closed())
        assert ask(node.serve().connect(), b"anew") == b"anew"
