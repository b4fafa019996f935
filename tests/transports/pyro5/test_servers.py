"""A server that misbehaves is told from one that did nothing."""

from __future__ import annotations

import socket
import struct
import threading

import Pyro5.api
import Pyro5.protocol
import Pyro5.serializers
import pytest

from fly_orm.deadline import Deadline
from fly_orm.errors import NotDelivered, OutcomeUnknown
from fly_orm.testing.contract.tools import soon, until
from fly_orm.transport import MAX_MESSAGE_BYTES
from fly_orm_transports.pyro5 import wire
from tests.support.pyro5_messages import HELLO, drip, message


class FalseServer:
    """Accepts one connection and does to it what the test says."""

    def __init__(self, *actions):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.actions = actions
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        sock, _ = self.listener.accept()
        with sock:
            sock.settimeout(10)
            for action in self.actions:
                action(sock)
            self.done.wait(10)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        self.listener.close()


def says(data):
    return lambda sock: sock.sendall(data)


def hears(size):
    return lambda sock: sock.recv(size, socket.MSG_WAITALL)


def hangs_up(sock):
    sock.shutdown(socket.SHUT_RDWR)


GREETS = hears(len(HELLO)), says(wire.frame(wire.CONNECTED, 0, wire.HELLO))
HEARS_CALL = hears(40 + len(b"write"))


@pytest.mark.parametrize(
    "actions",
    [
        [],
        [hears(len(HELLO)), hangs_up],
        [says(b"HTTP/1.1 400 Bad Request\r\n\r\n")],
        [says(message(3, b"rejected"))],
        [says(message(wire.CONNECTED, size=MAX_MESSAGE_BYTES))],
        [says(message(wire.CONNECTED, wire.HELLO, serializer=2))],
    ],
    ids=["silent", "closes", "http", "rejects", "long", "marshal"],
)
def test_a_server_that_does_not_greet_leaves_the_first_request_unknown(node, actions):
    with FalseServer(*actions) as server, pytest.raises((OutcomeUnknown, NotDelivered)) as caught:
        node.transport.connect(server.address, Deadline.after(1)).exchange(b"hello", Deadline.after(1))
    assert "did not answer as a fly_orm node within" in str(caught.value)
    assert "time limit" not in str(caught.value)  # which is said already


@pytest.mark.parametrize(
    "actions",
    [
        [],
        [hangs_up],
        [says(wire.frame(wire.RESULT, 2, b"the reply to another request"))],
        [says(wire.frame(wire.CONNECTED, 1, b"reply"))],
        [says(message(wire.RESULT, b"reply", flags=Pyro5.protocol.FLAGS_EXCEPTION))],
        [says(message(wire.RESULT, b"reply", flags=Pyro5.protocol.FLAGS_COMPRESSED))],
        [says(message(wire.RESULT, b"reply", serializer=2))],
        [says(message(wire.RESULT, size=MAX_MESSAGE_BYTES + 1))],
        [says(wire.frame(wire.RESULT, 1, b"reply")[:42]), hangs_up],
        [lambda sock: drip(sock, wire.frame(wire.RESULT, 1, bytes(100)))],
    ],
    ids=["silent", "closes", "seq", "kind", "exception", "compressed", "marshal", "long", "short", "drips"],
)
def test_a_request_that_gets_no_proper_reply_has_an_unknown_outcome(node, actions):
    with FalseServer(*GREETS, HEARS_CALL, *actions) as server:
        channel = node.connect(server.address)
        with pytest.raises(OutcomeUnknown) as caught:
            channel.exchange(b"write", Deadline.after(1))
        assert caught.value.address == server.address
        with pytest.raises(NotDelivered):
            channel.exchange(b"next", soon())


def resets(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("action", [hangs_up, resets, says(b"unasked")])
def test_a_stale_connection_means_not_delivered(node, action):
    replies = says(wire.frame(wire.RESULT, 1, b"reply"))
    with FalseServer(*GREETS, HEARS_CALL, replies, action) as server:
        channel = node.connect(server.address)
        assert channel.exchange(b"first", soon()) == b"reply"
        until(lambda: not channel._stream.is_idle())
        with pytest.raises(NotDelivered, match="has closed the connection"):
            channel.exchange(b"write", soon())


@pytest.mark.parametrize("hangs_up_after", [hears(1), hears(1_000_000)])
def test_a_request_that_could_not_be_sent_whole_is_not_delivered(node, hangs_up_after):
    with FalseServer(*GREETS, hangs_up_after, lambda sock: sock.close()) as server:
        channel = node.connect(server.address)
        with pytest.raises(NotDelivered, match="sending failed"):
            channel.exchange(bytes(MAX_MESSAGE_BYTES), soon())


def test_a_request_that_the_server_does_not_take_in_time_is_not_delivered(node):
    with FalseServer(*GREETS) as server:
        channel = node.connect(server.address)
        with pytest.raises(NotDelivered, match="timed out"):
            channel.exchange(bytes(MAX_MESSAGE_BYTES), Deadline.after(0.3))
