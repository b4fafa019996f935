"""A caller waits for a reply until its deadline, however the reply arrives."""

from __future__ import annotations

import socket
import struct
import threading
import time

import pytest

from fly_orm.transport import Deadline
from fly_orm_transports.pyro5 import wire
from fly_orm_transports.pyro5.wire import INVOKE, RESULT, MessageStream, frame

MAX_BYTES = 10**6


@pytest.fixture
def ends(monkeypatch):
    """A caller's stream, and the socket of its peer."""
    monkeypatch.setattr(wire, "_LOOK_INTERVAL", 0.01)
    monkeypatch.setattr(wire, "_TIMEVAL", struct.pack("ll", 0, 10_000))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield MessageStream(ours, polls=True), theirs


@pytest.mark.parametrize("timeout", [None, 60])
@pytest.mark.parametrize("cut_at", [2, 20, 3000])
def test_a_reply_may_pause(ends, timeout, cut_at):
    stream, peer = ends
    reply = frame(RESULT, 7, b"x" * 9000)

    def send():
        peer.sendall(reply[:cut_at])
        time.sleep(0.1)
        peer.sendall(reply[cut_at:])

    thread = threading.Thread(target=send)
    thread.start()
    assert stream.receive(RESULT, MAX_BYTES, Deadline.after(timeout)) == (7, b"x" * 9000)
    thread.join()


def test_a_pause_ends_at_the_deadline(ends):
    stream, peer = ends
    peer.sendall(frame(RESULT, 7, b"x" * 9000)[:20])
    with pytest.raises(TimeoutError):
        stream.receive(RESULT, MAX_BYTES, Deadline.after(0.1))


def test_a_peer_that_goes_on_and_on_is_given_up_at_the_deadline(ends):
    stream, peer = ends
    given_up = threading.Event()

    def send():
        peer.sendall(frame(RESULT, 7, b"x" * MAX_BYTES)[:100])
        while not given_up.wait(0.01):
            peer.sendall(b"x")

    thread = threading.Thread(target=send)
    thread.start()
    try:
        with pytest.raises(TimeoutError):
            stream.receive(RESULT, MAX_BYTES, Deadline.after(0.1))
    finally:
        given_up.set()
        thread.join()


def test_the_time_limit_of_a_long_request_does_not_last_longer(ends):
    stream, peer = ends
    thread = threading.Thread(target=peer.recv, args=(MAX_BYTES, socket.MSG_WAITALL))
    thread.start()
    stream.send(INVOKE, 1, bytes(MAX_BYTES), Deadline.after(60))
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        stream.receive(RESULT, MAX_BYTES, Deadline.after(0.1))
    assert time.monotonic() - started < 30
    thread.join()
