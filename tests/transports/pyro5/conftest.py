"""A node that serves over Pyro5, and plain connections to it."""

from __future__ import annotations

import socket

import pytest

from fly_orm_transports.pyro5 import Pyro5Transport
from tests.support.pyro5_messages import port_of
from tests.support.threads import node_of


@pytest.fixture
def node():
    with node_of(Pyro5Transport(), "127.0.0.1:0") as made:
        yield made


@pytest.fixture
def raw(node):
    """Opens plain TCP connections to the node's server."""
    opened = []

    def connect(*data):
        opened.append(socket.create_connection(("127.0.0.1", port_of(node.server)), 10))
        for part in data:
            opened[-1].sendall(part)
        return opened[-1]

    yield connect
    for sock in opened:
        sock.close()
