"""The WAN fails as it is told to, for good or once, seen from both of its sides."""

import errno
import os
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress

import pytest

from fly_orm.testing import Wan
from tests.support.waiting import until
from tests.testing.wan.peers import (
    PATIENCE,
    EchoServer,
    Played,
    address_of,
    ask,
    dial,
    gets_nothing,
    is_disconnected,
)


def test_cut_drops_connections_and_refuses_new_ones_until_healed(
    wan: Wan, client_seen: socket.socket, server: EchoServer
) -> None:
    wan.cut()
    assert is_disconnected(client_seen)
    assert server.next() == b""
    with pytest.raises(ConnectionRefusedError):
        dial(wan.address)
    wan.heal()
    with closing(dial(wan.address)) as again:
        assert ask(again) == b"ping"


def test_cut_loses_what_is_under_way(wan: Wan, client_seen: socket.socket, server: EchoServer) -> None:
    wan.rtt = 30
    client_seen.sendall(b"lost")
    assert gets_nothing(client_seen)
    wan.cut()
    assert server.next() == b""


def test_a_cut_works_although_a_forked_process_holds_the_sockets(
    wan: Wan, client_seen: socket.socket, server: EchoServer
) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)  # until the parent closes its end
        os._exit(0)
    os.close(reading)
    wan.cut()
    assert is_disconnected(client_seen)
    assert server.next() == b""
    with pytest.raises(ConnectionRefusedError):
        dial(wan.address)
    os.close(writing)
    os.waitpid(child, 0)


def test_a_connection_that_is_accepted_while_the_network_is_cut_is_dropped_too(wan: Wan) -> None:
    over = threading.Event()
    with ExitStack() as undo:
        clients: list[socket.socket] = []

        def connect() -> None:
            while not over.is_set():
                with suppress(OSError):  # the network is cut
                    clients.append(undo.enter_context(dial(wan.address)))

        connecting = threading.Thread(target=connect)
        connecting.start()
        for _ in range(200):
            wan.heal()
            wan.cut()
        over.set()
        connecting.join()
        assert clients
        assert all(is_disconnected(client) for client in clients)


def test_stall_holds_bytes_and_heal_delivers_them(wan: Wan, client_seen: socket.socket, server: EchoServer) -> None:
    wan.stall()
    client_seen.sendall(b"held")
    with closing(dial(wan.address)) as late:
        late.sendall(b"too")
        assert gets_nothing(client_seen)
        assert server.received.empty()
        wan.heal()
        assert client_seen.recv(100) == b"held"
        assert late.recv(100) == b"too"


def test_heal_reaches_every_connection_although_both_ends_of_some_are_gone() -> None:
    """As when a node is killed while the network stalls, and its callers give up."""
    with socket.create_server(("127.0.0.1", 0)) as listener, Wan(address_of(listener)) as wan, ExitStack() as undo:
        pairs = []
        for _ in range(8):
            client = undo.enter_context(dial(wan.address))
            client.sendall(b"hello")
            accepted = undo.enter_context(listener.accept()[0])
            accepted.settimeout(PATIENCE)
            assert accepted.recv(100) == b"hello"
            pairs.append((client, accepted))
        wan.stall()
        for number, (client, accepted) in enumerate(pairs):
            client.sendall(b"held")
            if number % 2:
                client.close()
                accepted.close()
        assert all(gets_nothing(accepted) for _, accepted in pairs[::2])
        wan.heal()
        assert [accepted.recv(100) for _, accepted in pairs[::2]] == [b"held"] * 4


def test_stall_holds_replies(played: Played) -> None:
    wan, client, accepted = played
    wan.stall()
    accepted.sendall(b"held")
    assert gets_nothing(client)
    wan.heal()
    assert client.recv(100) == b"held"


def test_deaf_swallows_bytes_for_good_and_heal_helps_later_connections(
    wan: Wan, client_seen: socket.socket, server: EchoServer
) -> None:
    wan.deaf()
    with closing(dial(wan.address)) as during:
        for deaf in (client_seen, during):
            deaf.sendall(b"swallowed")
            assert gets_nothing(deaf)
        wan.heal()
        for deaf in (client_seen, during):
            deaf.sendall(b"swallowed, too")
            assert gets_nothing(deaf)
        with closing(dial(wan.address)) as later:
            assert ask(later) == b"ping"
    assert server.next() == b"ping", "nothing else, and no end, has come"


def deafened(wan: Wan) -> None:
    if not wan.deaf():
        pytest.skip("this system does not let this user ignore what reaches a socket")


@pytest.mark.parametrize("end", ["client", "server"])
def test_what_is_sent_to_a_deaf_peer_is_not_acknowledged(end: str, played: Played) -> None:
    wan, client, accepted = played
    sender = client if end == "client" else accepted
    sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 200)  # milliseconds
    deafened(wan)
    sender.sendall(b"swallowed")
    with pytest.raises(TimeoutError) as raised:
        sender.recv(1)
    assert raised.value.errno == errno.ETIMEDOUT, "TCP gave up, and not the test"


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "during"])
def test_a_deaf_peer_answers_no_keepalives(when: str, wan: Wan, client: socket.socket) -> None:
    deafened(wan)
    with client if when == "before" else dial(wan.address) as idle:
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT):
            idle.setsockopt(socket.IPPROTO_TCP, option, 1)
        with pytest.raises(TimeoutError) as raised:
            idle.recv(1)
    assert raised.value.errno == errno.ETIMEDOUT


def test_a_connection_that_ends_while_the_peer_is_deaf_is_forgotten_once_it_hears_again(wan: Wan) -> None:
    wan.deaf()
    dial(wan.address).close()
    until(lambda: wan.connections == 1, "the proxy has it")
    wan.heal()
    until(lambda: not wan._traffic.connections, "the connection is forgotten")


FAULTS: dict[str, Callable[[Wan], threading.Event]] = {
    "before request": Wan.cut_before_request,
    "after request": Wan.cut_after_request,
    "before reply": Wan.cut_before_reply,
}


@pytest.mark.parametrize("rtt", [0.0, 0.05])
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_disconnects_the_client_and_tells_that_it_has_happened(
    name: str, rtt: float, wan: Wan, client: socket.socket
) -> None:
    wan.rtt = rtt
    fired = FAULTS[name](wan)
    assert not fired.is_set()
    client.sendall(b"request")
    assert is_disconnected(client)
    assert fired.wait(PATIENCE)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_happens_to_one_request_of_one_connection(name: str, wan: Wan, client: socket.socket) -> None:
    with closing(dial(wan.address)) as other:
        assert ask(other) == b"ping"
        fired = FAULTS[name](wan)
        client.sendall(b"request")
        assert fired.wait(PATIENCE)
        assert ask(other) == b"ping"
        with closing(dial(wan.address)) as later:
            assert ask(later) == b"ping"


@pytest.mark.parametrize("name", FAULTS)
def test_heal_takes_back_a_fault_that_has_not_happened(name: str, wan: Wan, client: socket.socket) -> None:
    fired = FAULTS[name](wan)
    wan.heal()
    assert ask(client) == b"ping"
    assert not fired.is_set()


def test_a_request_cut_before_it_is_never_delivered(wan: Wan, client_seen: socket.socket, server: EchoServer) -> None:
    wan.cut_before_request()
    client_seen.sendall(b"request")
    assert server.next() == b""


@pytest.mark.parametrize("answering", [True, False])
@pytest.mark.parametrize("rtt", [0.0, 0.05])
@pytest.mark.parametrize("size", [7, 3_000_000])
def test_a_request_cut_after_it_is_delivered_completely(
    size: int, rtt: float, answering: bool, wan: Wan, client_seen: socket.socket, server: EchoServer
) -> None:
    wan.rtt = rtt
    # An echo of half a large request would be taken for the answer to all of it.
    server.answering = answering and size < 1000
    fired = wan.cut_after_request()
    client_seen.sendall(b"x" * size)
    assert fired.wait(PATIENCE)
    assert is_disconnected(client_seen)
    assert len(server.next_bytes(size)) == size
    assert server.next() == b""


def test_a_reply_cut_before_it_is_not_delivered(played: Played) -> None:
    wan, client, accepted = played
    fired = wan.cut_before_reply()
    client.sendall(b"request")
    assert accepted.recv(100) == b"request"
    assert gets_nothing(client), "it is connected until the server answers"
    accepted.sendall(b"reply")
    assert is_disconnected(client)
    assert fired.wait(PATIENCE)
    accepted.sendall(b"the rest of it")
    assert accepted.recv(100) == b""


def test_a_server_can_work_on_after_its_client_was_cut_off(played: Played) -> None:
    wan, client, accepted = played
    fired = wan.cut_after_request()
    client.sendall(b"request")
    assert fired.wait(PATIENCE)
    assert accepted.recv(100) == b"request"
    accepted.sendall(b"result " * 100_000)
    assert accepted.recv(100) == b""
