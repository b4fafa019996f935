"""The WAN delays, counts and fails as it is told to, seen from both of its sides."""

import os
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from statistics import median

import pytest

from fly_orm.deadline import now
from fly_orm.errors import ConfigurationError
from fly_orm.testing import Wan

PATIENCE = 10.0

Played = tuple[Wan, socket.socket, socket.socket]


def address_of(listener: socket.socket) -> str:
    name = listener.getsockname()
    if isinstance(name, str):
        return name
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"


class EchoServer:
    """Echoes what it gets, and keeps a record of it; one that is not ``answering`` only keeps the record."""

    def __init__(self, listener: socket.socket, answering: bool = True) -> None:
        self.listener = listener
        self.answering = answering
        self.received = queue.Queue[bytes]()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return address_of(self.listener)

    def next(self) -> bytes:
        """The next chunk that came; empty for the end of a connection."""
        return self.received.get(timeout=PATIENCE)

    def next_bytes(self, size: int) -> bytes:
        """As many bytes as that, however they were cut up."""
        got = b""
        while len(got) < size:
            got += self.next()
        return got

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(accepted,), daemon=True).start()

    def _echo(self, accepted: socket.socket) -> None:
        with accepted:
            while chunk := _received(accepted):
                self.received.put(chunk)
                if self.answering:
                    accepted.sendall(chunk)
            self.received.put(b"")


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except ConnectionError:
        return b""


def dial(address: str) -> socket.socket:
    if "/" in address:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        try:
            connection.connect(address)
        except OSError:
            connection.close()
            raise
        return connection
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), PATIENCE)


def ask(client: socket.socket, request: bytes = b"ping") -> bytes:
    """What comes back for ``request``, of its length unless the connection ends."""
    client.sendall(request)
    reply = b""
    while len(reply) < len(request) and (chunk := client.recv(65536)):
        reply += chunk
    return reply


def is_disconnected(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionError:
        return True


def gets_nothing(client: socket.socket) -> bool:
    """Whether nothing comes for a little while: the one thing that can only be seen by waiting."""
    client.settimeout(0.1)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(PATIENCE)
    return False


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


# Distance


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


# Addresses


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


# Counters


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


# Ends


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


# Faults that last


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


# Faults that happen once


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
