"""A WAN, and what is at its two ends."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from fly_orm.testing import Wan
from tests.testing.wan.peers import PATIENCE, EchoServer, Played, address_of, ask, dial


@pytest.fixture
def server() -> Iterator[EchoServer]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield EchoServer(listener)
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def wan(server: EchoServer) -> Iterator[Wan]:
    with Wan(server.address) as wan:
        yield wan


@pytest.fixture
def client(wan: Wan) -> Iterator[socket.socket]:
    """A client that has already exchanged something."""
    with closing(dial(wan.address)) as client:
        assert ask(client) == b"ping"
        yield client


@pytest.fixture
def client_seen(client: socket.socket, server: EchoServer) -> socket.socket:
    """The same, when the server's record of that exchange has been read."""
    assert server.next() == b"ping"
    return client


@pytest.fixture
def played() -> Iterator[Played]:
    """A WAN, and the client's and the server's side of a connection through it: the test plays the server."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        Wan(address_of(listener)) as wan,
        closing(dial(wan.address)) as client,
        listener.accept()[0] as accepted,
    ):
        accepted.settimeout(PATIENCE)
        yield wan, client, accepted
