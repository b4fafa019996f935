"""Each side of the WAN sees the other one finish, go away, or be gone with it."""

import os
import socket
from contextlib import closing

import pytest

from fly_orm.testing import Wan
from tests.testing.wan.peers import EchoServer, Played, ask, dial, is_disconnected


def test_a_client_that_has_said_everything_still_hears_the_answer(wan: Wan, server: EchoServer) -> None:
    with closing(dial(wan.address)) as client:
        client.sendall(b"last words")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b"last words"
        assert server.next_bytes(10) == b"last words"
        assert server.next() == b""
        assert client.recv(1) == b""


def test_a_server_that_has_said_everything_still_hears_its_client(played: Played) -> None:
    _, client, accepted = played
    accepted.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""
    client.sendall(b"still here")
    assert accepted.recv(100) == b"still here"


def test_the_server_sees_its_client_go(wan: Wan, client_seen: socket.socket, server: EchoServer) -> None:
    client_seen.close()
    assert server.next() == b""


def test_the_client_sees_its_server_go(played: Played) -> None:
    _, client, accepted = played
    accepted.close()
    assert is_disconnected(client)


def test_closing_it_disconnects_both_sides(wan: Wan, client_seen: socket.socket, server: EchoServer) -> None:
    wan.close()
    assert is_disconnected(client_seen)
    assert server.next() == b""
    wan.close()
    with pytest.raises(RuntimeError, match="closed"):
        wan.heal()


def test_a_forked_process_leaves_it_alone(wan: Wan, client: socket.socket) -> None:
    child = os.fork()
    if child == 0:
        wan.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert ask(client) == b"ping"
