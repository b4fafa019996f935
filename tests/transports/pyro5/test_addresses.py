"""What is an address, and what can be bound and reached there."""

from __future__ import annotations

import socket
import threading

import pytest

from fly_orm.deadline import Deadline
from fly_orm.errors import ConfigurationError, NotDelivered
from fly_orm.testing.contract.tools import Recorder, soon
from fly_orm_transports.pyro5 import Pyro5Transport, addresses
from tests.support.pyro5_messages import port_of
from tests.support.threads import ending_threads


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:7654", "127.0.0.1", 7654),
        ("localhost:0", "localhost", 0),
        ("syd.shop.internal:65535", "syd.shop.internal", 65535),
        ("web_1.local.:80", "web_1.local.", 80),
        ("[::1]:7654", "::1", 7654),
        ("[::]:7654", "::", 7654),
        ("[fdaa:0:1::3]:7654", "fdaa:0:1::3", 7654),
        ("[fe80::1%eth0]:7654", "fe80::1%eth0", 7654),
    ],
)
def test_an_address_is_a_host_and_a_port(text, host, port):
    parsed = addresses.parse_address(text)
    assert (parsed.host, parsed.port, str(parsed)) == (host, port, text)


MALFORMED = [
    "",
    "abc",
    ":7654",
    "host:",
    "host:port",
    "host:-1",
    "host:70000",
    "host:99999999999",
    "host: 80",
    "host:80\n",
    "host:८०",
    "::1:7654",
    "[::1]",
    "[::1",
    "[]:80",
    "[1.2.3]:80",
    "[127.0.0.1]:80",
    "[host]:80",
    "[[::1]]:80",
    "a..b:80",
    "a" * 64 + ":80",
    "http://host:80",
    "host:80/path",
    "ho st:80",
    "host\0:80",
]


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_address_is_a_configuration_error_that_shows_a_good_one(text):
    transport = Pyro5Transport()
    with pytest.raises(ConfigurationError, match="host:port"):
        transport.connect(text, soon())
    with pytest.raises(ConfigurationError, match="host:port"):
        transport.serve(text, Recorder)


def test_a_port_that_was_never_chosen_cannot_be_connected_to():
    with pytest.raises(ConfigurationError, match="port 0"):
        Pyro5Transport().connect("127.0.0.1:0", soon())


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-name.invalid", "[2001:db8::1]"])
def test_what_is_not_an_address_of_this_machine_cannot_be_bound(host):
    with pytest.raises(ConfigurationError, match="choose a free port and an address of this machine"):
        Pyro5Transport().serve(f"{host}:0", Recorder)


def test_a_taken_port_cannot_be_bound(node):
    address = node.serve().server.address
    with pytest.raises(ConfigurationError, match="in use"):
        node.transport.serve(address, Recorder)


def test_an_unknown_name_is_not_delivered():
    with pytest.raises(NotDelivered, match="no-such-name"):
        Pyro5Transport().connect("no-such-name.invalid:7654", soon())


def test_a_name_lookup_that_hangs_ends_by_the_deadline(monkeypatch):
    answer = threading.Event()

    def getaddrinfo(host, *_, flags, **__):
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror("not a number")
        assert answer.wait(20)
        raise socket.gaierror("at last")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with ending_threads():
        with pytest.raises(NotDelivered, match="lookup"):
            Pyro5Transport().connect("slow.example:7654", Deadline.after(0.2))
        answer.set()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "[::1]", "[::ffff:127.0.0.1]", "localhost"])
def test_a_loopback_address_is_local(host):
    assert Pyro5Transport().is_local(f"{host}:7654")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "localhost"])
def test_a_loopback_host_is_local_without_a_port(host):
    assert Pyro5Transport().is_local(host)


@pytest.mark.parametrize("text", ["", "0.0.0.0", "::", "[::]", "a b", "[127.0.0.1]", "localhost:70000"])
def test_a_wildcard_or_nonsense_is_not_local(text):
    assert not Pyro5Transport().is_local(text)


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.0.2.1", "[fdaa::3]", "[::ffff:192.0.2.1]", "no-such.invalid"])
def test_any_other_address_is_not_local(host):
    assert not Pyro5Transport().is_local(f"{host}:7654")


def answers(*hosts):
    """A resolver of one name."""

    def getaddrinfo(host, port, *, type, flags=0):  # noqa: A002 - the name in the socket module
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror("not a number")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in hosts]

    return getaddrinfo


@pytest.mark.parametrize(("hosts", "local"), [(["127.0.0.1"], True), (["127.0.0.1", "192.0.2.1"], False), ([], False)])
def test_a_name_is_local_if_all_its_addresses_are(monkeypatch, hosts, local):
    monkeypatch.setattr(socket, "getaddrinfo", answers(*hosts))
    assert Pyro5Transport().is_local("name:7654") is local


def test_every_address_of_a_name_is_tried(node, monkeypatch):
    port = port_of(node.serve().server)
    monkeypatch.setattr(socket, "getaddrinfo", answers("127.0.0.2", "127.0.0.1"))
    assert node.connect(f"name:{port}").exchange(b"hello", soon()) == b"hello"


def test_when_no_address_of_a_name_answers_each_is_reported(node, monkeypatch):
    port = port_of(node.serve().server)
    monkeypatch.setattr(socket, "getaddrinfo", answers("127.0.0.2", "127.0.0.3"))
    with pytest.raises(NotDelivered, match=r"127\.0\.0\.2: .*127\.0\.0\.3: "):
        node.connect(f"name:{port}")


def test_localhost_can_be_served_and_reached(node):
    node.serve(listen="localhost:0")
    assert node.server.address.startswith("localhost:")
    assert node.connect().exchange(b"hello", soon()) == b"hello"


def test_a_name_is_served_at_each_address_that_this_machine_has(node, monkeypatch):
    port = port_of(node.serve(listen="127.0.0.1:0").server)
    node.server.close(0)
    monkeypatch.setattr(socket, "getaddrinfo", answers("127.0.0.1", "127.0.0.1", "192.0.2.1", "127.0.0.2"))
    node.serve(listen=f"name:{port}")
    monkeypatch.undo()
    for host in "127.0.0.1", "127.0.0.2":
        assert node.connect(f"{host}:{port}").exchange(b"hello", soon()) == b"hello"


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@needs_ipv6
def test_an_ipv6_address_is_in_brackets(node):
    node.serve(listen="[::1]:0")
    assert node.server.address.startswith("[::1]:")
    assert node.connect().exchange(b"hello", soon()) == b"hello"
    assert node.responder.peer.startswith("[::1]:")


@needs_ipv6
def test_the_ipv6_wildcard_serves_ipv4_too(node):
    port = port_of(node.serve(listen="[::]:0").server)
    for host in "127.0.0.1", "[::1]":
        assert node.connect(f"{host}:{port}").exchange(b"hello", soon()) == b"hello"
    assert [r.peer.rpartition(":")[0] for r in node.responders] == ["127.0.0.1", "[::1]"]
