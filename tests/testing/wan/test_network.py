"""The WAN delays and counts what passes it, between addresses of any kind."""

import os
import socket
import threading
from contextlib import closing
from pathlib import Path
from statistics import median

import pytest

from fly_orm.deadline import now
from fly_orm.errors import ConfigurationError
from fly_orm.testing import Wan
from tests.testing.wan.peers import EchoServer, Played, address_of, ask, dial, gets_nothing, is_disconnected


def test_an_exchange_takes_a_round_trip(wan: Wan, client: socket.socket) -> None:
    wan.rtt = 0.05
    start = now()
    assert ask(client) == b"ping"
    assert now() - start >= 0.05


def test_a_new_connection_costs_another_round_trip(wan: Wan) -> None:
    wan.rtt = 0.05
    start = now()
    with closing(dial(wan.address)) as client:
        assert ask(client) == b"ping"
    assert now() - start >= 0.1


def test_a_server_that_speaks_first_is_heard_after_two_round_trips() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, Wan(address_of(listener), rtt=0.05) as wan:
        start = now()
        with closing(dial(wan.address)) as client, listener.accept()[0] as accepted:
            accepted.sendall(b"hello")
            assert client.recv(5) == b"hello"
        assert now() - start >= 0.1


def test_the_round_trip_time_can_change_while_running(wan: Wan, client: socket.socket) -> None:
    wan.rtt = 30
    client.sendall(b"a")
    assert gets_nothing(client)
    wan.rtt = 0.0
    assert wan.rtt == 0
    with closing(dial(wan.address)) as other:
        assert ask(other, b"b") == b"b"


def test_the_second_piece_of_a_reply_does_not_wait_until_the_first_is_acknowledged(played: Played) -> None:
    _, client, server = played
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    took = []
    for _ in range(30):  # not the first times: a young connection acknowledges at once
        client.sendall(b"?")
        assert (server.recv(1), server.send(b"a"), client.recv(1)) == (b"?", 1, b"a")
        start = now()
        assert (server.send(b"b"), client.recv(1)) == (1, b"b")
        took.append(now() - start)
    assert median(took) < 0.02


def test_many_bytes_arrive_in_order_and_travel_together(wan: Wan, client: socket.socket) -> None:
    wan.rtt = 0.2
    blob = os.urandom(16 * 1024 * 1024)
    sender = threading.Thread(target=client.sendall, args=(blob,))
    start = now()
    sender.start()
    reply = bytearray()
    while len(reply) < len(blob):
        reply += client.recv(1 << 20)
    sender.join()
    assert reply == blob
    assert now() - start < 16 * 0.2, "each 1 MiB at most waited for the one before"


def test_a_negative_round_trip_time_is_refused(server: EchoServer, wan: Wan) -> None:
    with pytest.raises(ValueError, match="rtt must be 0 or more"):
        Wan(server.address, rtt=-1)
    with pytest.raises(ValueError, match="rtt must be 0 or more"):
        wan.rtt = float("nan")


def test_it_works_between_unix_sockets(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "target"))
        listener.listen()
        path = tmp_path / "wan"
        with Wan(EchoServer(listener).address, listen=str(path)) as wan, closing(dial(wan.address)) as client:
            assert wan.address == str(path)
            assert ask(client) == b"ping"
            wan.cut()
            with pytest.raises(ConnectionRefusedError):
                dial(wan.address)
            wan.heal()
            with closing(dial(wan.address)) as other:
                assert ask(other) == b"ping"
        assert not path.exists()
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_it_works_over_ipv6() -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with listener, Wan(EchoServer(listener).address, listen="[::1]:0") as wan, closing(dial(wan.address)) as client:
        assert wan.address.startswith("[::1]:")
        assert ask(client) == b"ping"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("address", ["", "localhost", ":80", "host:port", "host:"])
def test_a_malformed_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match="not an address"):
        Wan(address)


def test_an_address_in_use_is_refused_and_left_alone(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "wan"))
        with pytest.raises(OSError, match="in use"):
            Wan("127.0.0.1:1", listen=str(tmp_path / "wan"))
        assert (tmp_path / "wan").exists()


def test_a_target_that_refuses_is_seen_as_a_disconnection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = address_of(listener)
    with Wan(target) as wan, closing(dial(wan.address)) as client:
        assert is_disconnected(client)


def test_a_round_trip_is_counted_when_a_client_speaks_after_it_has_heard(wan: Wan) -> None:
    with closing(dial(wan.address)) as one, closing(dial(wan.address)) as other:
        for _ in range(3):
            assert ask(one) == b"ping"
        assert ask(other) == b"ping"
        assert (wan.connections, wan.round_trips) == (2, 4)
        wan.reset_counters()
        assert (wan.connections, wan.round_trips) == (0, 0)
        assert ask(one) == b"ping"
        assert (wan.connections, wan.round_trips) == (0, 1)


def test_what_is_sent_without_waiting_for_an_answer_is_one_round_trip(wan: Wan, server: EchoServer) -> None:
    with closing(dial(wan.address)) as client:
        server.answering = False
        for chunk in (b"one", b"two", b"three"):
            client.sendall(chunk)
            assert server.next_bytes(len(chunk)) == chunk
    assert wan.round_trips == 1
