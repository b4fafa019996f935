"""Frames arrive as they were sent, and anything else ends the connection with an error of the connection."""

from __future__ import annotations

import socket
from contextlib import closing

from hypothesis import example, given
from hypothesis import strategies as st

from fly_orm.transport import Deadline
from fly_orm_transports.pyro5.wire import FAILURES, INVOKE, MessageStream, frame

MAX_BYTES = 1000
SOON = Deadline.after(None)


def received(data: bytes, limit: int = MAX_BYTES) -> list[bytes]:
    """The payloads that a peer receives until the connection fails, which it does at the latest at its end."""
    ours, theirs = socket.socketpair()
    found = []
    with closing(MessageStream(theirs)) as stream:
        ours.sendall(data)
        ours.close()
        while True:
            try:
                found.append(stream.receive(INVOKE, limit, SOON)[1])
            except FAILURES:
                return found


@given(st.lists(st.binary(max_size=200), max_size=5), st.binary(max_size=30))
def test_frames_arrive_as_they_were_sent(payloads, rest):
    sent = b"".join(frame(INVOKE, number, payload) for number, payload in enumerate(payloads))
    assert received(sent + rest)[: len(payloads)] == payloads


@given(st.binary(max_size=300))
@example(b"PYRO")
@example(frame(INVOKE, 1, b"x" * 2000))
def test_any_bytes_end_the_connection(data):
    assert sum(map(len, received(data))) <= len(data)


changes = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4)


@given(st.binary(max_size=50), changes)
def test_altered_frames_end_the_connection_or_arrive(payload, changes):
    altered = bytearray(frame(INVOKE, 1, payload))
    for place, byte in changes:
        altered[place % len(altered)] = byte
    assert all(len(each) <= MAX_BYTES for each in received(bytes(altered)))
