"""A server that is closed says what it does not execute, and stays until its peers have heard that."""

from __future__ import annotations

import socket
import struct
import threading

import pytest

from fly_orm.testing.contract.tools import (
    HELD_TIMEOUT,
    LAST_REPLY,
    Held,
    ask,
    goes_on,
    in_thread,
    result,
    soon,
    until,
    within,
)
from fly_orm_transports.pyro5 import wire
from fly_orm_transports.pyro5.linger import Linger
from tests.support.pyro5_messages import HELLO, greeted

LAST = wire.frame(wire.RESULT, 2, LAST_REPLY)


@pytest.fixture
def linger(monkeypatch):
    def set_linger(seconds):
        for name in ("LEAST_LINGER", "MOST_LINGER"):
            monkeypatch.setattr(f"fly_orm_transports.pyro5.linger.{name}", seconds)

    return set_linger


def heard(sock, expected):
    return sock.recv(len(expected), socket.MSG_WAITALL) == expected


@pytest.mark.parametrize("busy", [False, True])
def test_a_request_that_crosses_the_last_reply_does_not_reset_the_connection(node, raw, linger, busy):
    """A reset could overtake the last reply, and then nobody would know what became of the request."""
    linger(HELD_TIMEOUT)
    held = Held()
    node.serve(held)
    sock = greeted(raw(HELLO, wire.frame(wire.INVOKE, 1, b"one")))
    assert held.started.wait(HELD_TIMEOUT)
    if not busy:
        held.released.set()
        assert heard(sock, wire.frame(wire.RESULT, 1, b"late one"))
    closing = in_thread(node.server.close, 2 * HELD_TIMEOUT)
    if busy:
        assert goes_on(closing)
        held.released.set()
        assert heard(sock, wire.frame(wire.RESULT, 1, b"late one"))
    assert heard(sock, LAST)
    assert sock.recv(1) == b""
    sock.sendall(wire.frame(wire.INVOKE, 2, bytes(100_000)))
    assert goes_on(closing), "the server closed the connection before its peer did"
    sock.sendall(wire.frame(wire.INVOKE, 3, bytes(100_000)))
    sock.close()
    result(closing)
    assert node.requests == [b"one"]


def test_a_peer_that_never_hangs_up_does_not_hold_the_server(node, raw, linger):
    linger(0.05)
    node.serve()
    sock = greeted(raw(HELLO, wire.frame(wire.INVOKE, 1, b"one")))
    until(lambda: node.responders and node.responder.replied)
    within(HELD_TIMEOUT / 2, node.server.close, HELD_TIMEOUT)
    assert heard(sock, wire.frame(wire.RESULT, 1, b"one") + LAST)


def test_a_connection_stays_as_long_as_its_round_trip_asks_for(monkeypatch):
    monkeypatch.setattr("fly_orm_transports.pyro5.linger.now", iter([1, 1.25, 2, 9]).__next__)
    linger = Linger()
    linger.note_received()  # nothing was sent before it
    linger.note_sending()
    linger.note_received()
    linger.note_sending()
    linger.note_received()
    linger.begin()
    assert linger.deadline.timeout == 0.5 + 2 * 0.25


def test_a_last_reply_counts_though_the_rest_of_the_request_cannot_be_sent(node):
    """The node has closed the connection in between, so that the system refuses the last byte."""
    listener = socket.create_server(("127.0.0.1", 0))
    with listener:
        connecting = in_thread(node.transport.connect, f"127.0.0.1:{listener.getsockname()[1]}", soon())
        sock, _ = listener.accept()
        sock.sendall(wire.frame(wire.CONNECTED, 0, wire.HELLO))
        channel = result(connecting)
    send_all, resets = channel._stream._send_all, threading.Event()

    def send(rest, deadline, flags):
        if not flags:  # the last byte
            sock.sendall(wire.frame(wire.RESULT, 1, LAST_REPLY))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
            resets.set()
        send_all(rest, deadline, flags)

    channel._stream._send_all = send
    assert ask(channel, b"write") == LAST_REPLY
    assert resets.is_set()
    channel.close()
