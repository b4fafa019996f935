"""What the sockets are set to, and that none is left."""

from __future__ import annotations

import socket
import sys
import threading

import psutil
import pytest

from fly_orm.testing.contract.tools import soon, until
from fly_orm_transports.pyro5 import sockets


def tuned(sock):
    options = {name: sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in sockets._TCP_OPTIONS}
    assert options == {
        "TCP_NODELAY": 1,
        "TCP_KEEPIDLE": 5,
        "TCP_KEEPINTVL": 2,
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": 6000,
    }
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems lack some of the options")
def test_both_ends_notice_a_cut_network_within_seconds(node):
    channel = node.serve().connect()
    assert channel.exchange(b"hello", soon()) == b"hello"
    (served,) = node.server._table.snapshot()
    assert tuned(channel._stream._sock)
    assert tuned(served._stream._sock)


def test_nothing_is_left_of_many_connections(node):
    process = psutil.Process()
    before = process.num_fds(), threading.active_count()
    node.serve()
    for _ in range(50):
        channel = node.connect()
        channel.exchange(b"hello", soon())
        channel.close()
    node.server.close(1)
    # At most: what an earlier test has left to the garbage collector may be gone too.
    until(lambda: process.num_fds() <= before[0] and threading.active_count() <= before[1])
