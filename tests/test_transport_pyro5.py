"""What holds for the Pyro5 transport in particular: addresses, sockets, the wire, strangers, and peers that die."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import uuid

import psutil
import Pyro5.api
import Pyro5.protocol
import Pyro5.serializers
import pytest
from Pyro5.protocol import SendingMessage
from test_transports import Held, Recorder, in_child, in_thread, node_of, our_threads, soon, until

from fly_orm.deadline import Deadline
from fly_orm.errors import ConfigurationError, NotDelivered, OutcomeUnknown
from fly_orm.transport import MAX_MESSAGE_BYTES, STRANGER_MAX_MESSAGE_BYTES
from fly_orm_transports.pyro5 import Pyro5Transport, addresses, connection, roster, sockets, wire


@pytest.fixture
def node():
    with node_of(Pyro5Transport(), "127.0.0.1:0") as made:
        yield made


def port_of(server):
    return int(server.address.rpartition(":")[2])


def message(kind, payload=b"", *, serializer=wire.SERIALIZER_ID, flags=0, annotations=None, size=None):
    data = bytearray(SendingMessage(kind, flags, 1, serializer, payload, annotations=annotations).data)
    data[8:10] = struct.pack("!H", flags)  # SendingMessage clears the flag for compression
    if size is not None:
        data[12:16] = struct.pack("!I", size)
    return bytes(data)


HELLO = message(wire.CONNECT, wire.HELLO)


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


def ended(sock):
    """Whether the peer has ended the connection within the socket's timeout."""
    try:
        while sock.recv(65536):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True


def greeted(sock):
    reply = sock.recv(40 + len(wire.HELLO), socket.MSG_WAITALL)
    assert Pyro5.protocol.ReceivingMessage(reply[:40]).type == wire.CONNECTED
    return sock


# Addresses


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
    with pytest.raises(NotDelivered, match="lookup"):
        Pyro5Transport().connect("slow.example:7654", Deadline.after(0.2))
    answer.set()
    until(lambda: not our_threads())


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "[::1]", "localhost"])
def test_a_loopback_address_is_local(host):
    assert Pyro5Transport().is_local(f"{host}:7654")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "localhost"])
def test_a_loopback_host_is_local_without_a_port(host):
    assert Pyro5Transport().is_local(host)


@pytest.mark.parametrize("text", ["", "0.0.0.0", "::", "[::]", "a b", "[127.0.0.1]", "localhost:70000"])
def test_a_wildcard_or_nonsense_is_not_local(text):
    assert not Pyro5Transport().is_local(text)


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.0.2.1", "[fdaa::3]", "[::ffff:127.0.0.1]", "no-such.invalid"])
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


# Sockets


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
    (served,) = node.server._roster.members()
    assert tuned(channel._link._sock)
    assert tuned(served._link._sock)


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


# The wire


GREETING = {"handshake": "hello", "object": "node", "meta": {"methods": ["call"], "oneway": [], "attrs": []}}


class Bytes(Pyro5.serializers.SerializerBase):
    """The transport's payloads, as Pyro5's own Proxy and Daemon see them."""

    serializer_id = wire.SERIALIZER_ID

    @classmethod
    def register_type_replacement(cls, object_type, replacement_function):
        pass

    def dumps(self, data):
        return wire.HELLO if isinstance(data, dict) else data

    def loads(self, data):
        return GREETING if data == wire.HELLO else bytes(data)

    def dumpsCall(self, obj, method, vargs, kwargs):  # noqa: N802 - Pyro5's name
        return vargs[0]

    def loadsCall(self, data):  # noqa: N802 - Pyro5's name
        return "node", "call", (bytes(data),), {}


@pytest.fixture
def bytes_serializer(monkeypatch):
    monkeypatch.setitem(Pyro5.serializers.serializers, "bytes", Bytes())
    monkeypatch.setitem(Pyro5.serializers.serializers_by_id, wire.SERIALIZER_ID, Bytes())


def test_pyro5s_own_proxy_can_talk_to_the_server(node, bytes_serializer):
    node.serve(lambda request: request.upper())
    with Pyro5.api.Proxy(f"PYRO:node@{node.server.address}") as proxy:
        proxy._pyroSerializer = "bytes"
        assert [proxy.call(b"one"), proxy.call(b"two")] == [b"ONE", b"TWO"]


def test_a_channel_can_talk_to_pyro5s_own_daemon(node, bytes_serializer):
    @Pyro5.api.expose
    class Upper:
        def call(self, request):
            return request.upper()

    with Pyro5.api.Daemon(host="127.0.0.1") as daemon:
        daemon.register(Upper, "node")
        served = in_thread(daemon.requestLoop)
        channel = node.connect(daemon.locationStr)
        assert [channel.exchange(b"one", soon()), channel.exchange(b"two", soon())] == [b"ONE", b"TWO"]
        channel.close()
        daemon.shutdown()
        served.result(10)


@pytest.mark.parametrize("payload", [b"", b"x" * 300])
def test_a_message_is_what_pyro5_makes_of_it(payload):
    assert wire.frame(wire.INVOKE, 7, payload) == SendingMessage(wire.INVOKE, 0, 7, wire.SERIALIZER_ID, payload).data


def test_pyro5s_message_layout_is_the_one_relied_on():
    assert wire._HEADER_BYTES == Pyro5.protocol._header_size == 40
    header = struct.unpack(Pyro5.protocol._header_format, SendingMessage(1, 0, 2, 70, b"12345").data[:40])
    assert header == (b"PYRO", 502, 1, 70, 0, 2, 5, 0, bytes(16), 0, 0x4DC5)
    assert struct.calcsize("!4sHBBHH") == wire._PAYLOAD_SIZE_AT
    assert wire.SERIALIZER_ID not in Pyro5.serializers.serializers_by_id


def test_the_applications_own_use_of_pyro5_does_not_interfere(node, monkeypatch):
    monkeypatch.setattr(Pyro5.config, "COMPRESSION", True)
    monkeypatch.setattr(Pyro5.config, "COMMTIMEOUT", 0.01)
    monkeypatch.setattr(Pyro5.protocol.current_context, "correlation_id", uuid.uuid4())
    monkeypatch.setattr(Pyro5.protocol.current_context, "annotations", {"TEST": b"x"})
    assert node.serve().connect().exchange(b"x" * 1000, soon()) == b"x" * 1000


def test_pyro5s_configuration_is_left_alone(node):
    before = Pyro5.config.as_dict()
    node.serve().connect().exchange(b"hello", soon())
    assert Pyro5.config.as_dict() == before


def test_the_sequence_number_wraps_around(node):
    channel = node.serve().connect()
    channel._seq = 0xFFFE
    assert [channel.exchange(b"%d" % n, soon()) for n in range(4)] == [b"0", b"1", b"2", b"3"]


# Strangers

REFUSED = {
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "tls": bytes.fromhex("1603010200010001fc0303") + bytes(32),
    "noise": bytes(range(255, 200, -1)),
    "another version": HELLO[:4] + b"\0\1" + HELLO[6:],
    "wrong magic": HELLO[:38] + b"\0\0" + HELLO[40:],
    "call before greeting": message(wire.INVOKE, b"write"),
    "ping before greeting": message(6, b"ping", serializer=42),
    "another greeting": message(wire.CONNECT, b"fly_orm/9"),
    "long greeting": message(wire.CONNECT, size=len(wire.HELLO) + 1),
    "huge greeting": message(wire.CONNECT, size=2**32 - 1),
    "serpent": message(wire.CONNECT, wire.HELLO, serializer=1),
    "marshal": message(wire.CONNECT, wire.HELLO, serializer=2),
    "msgpack": message(wire.CONNECT, wire.HELLO, serializer=4),
    "compressed": message(wire.CONNECT, wire.HELLO, flags=Pyro5.protocol.FLAGS_COMPRESSED),
    "annotated": message(wire.CONNECT, wire.HELLO, annotations={"TEST": b"x"}),
}
REFUSED_LATER = {
    "second greeting": HELLO,
    "ping": message(6, b"ping", serializer=42),
    "result": message(wire.RESULT, b"x"),
    "over the limit for strangers": message(wire.INVOKE, size=STRANGER_MAX_MESSAGE_BYTES + 1),
    "huge": message(wire.INVOKE, size=2**32 - 1),
    "serpent": message(wire.INVOKE, b"write", serializer=1),
    "annotated": message(wire.INVOKE, b"write", annotations={"BLBI": b"x"}),
    **{
        flag: message(wire.INVOKE, b"write", flags=getattr(Pyro5.protocol, f"FLAGS_{flag}"))
        for flag in ["COMPRESSED", "ONEWAY", "BATCH", "KEEPSERIALIZED", "EXCEPTION", "ITEMSTREAMRESULT"]
    },
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_what_is_not_our_greeting_is_refused_at_once(node, raw, monkeypatch, data):
    monkeypatch.setattr(connection, "STRANGER_TIMEOUT", 30)
    node.serve()
    assert ended(raw(data))
    assert node.responders == []
    assert node.connect().exchange(b"fine", soon()) == b"fine"


@pytest.mark.parametrize("data", REFUSED_LATER.values(), ids=REFUSED_LATER)
def test_what_is_not_a_plain_call_is_refused_at_once(node, raw, monkeypatch, data):
    monkeypatch.setattr(connection, "STRANGER_TIMEOUT", 30)
    node.serve(trusted=False)
    sock = greeted(raw(HELLO))
    sock.sendall(data)
    assert ended(sock)
    until(lambda: node.responder.gone_calls == 1)
    assert node.responder.requests == []


def test_a_trusted_peer_may_not_announce_more_than_the_limit(node, raw):
    node.serve()
    sock = greeted(raw(HELLO, message(wire.INVOKE, size=MAX_MESSAGE_BYTES + 1)))
    assert ended(sock)


def test_announced_sizes_cost_no_memory(node, raw):
    node.serve()
    process = psutil.Process()
    before = process.memory_info()
    for _ in range(10):
        greeted(raw(HELLO, message(wire.INVOKE, size=MAX_MESSAGE_BYTES))).sendall(b"x" * 1000)
    until(lambda: len(node.server._roster.members()) == 10)
    assert node.connect().exchange(b"fine", soon()) == b"fine"
    assert process.memory_info().rss - before.rss < 10_000_000


@pytest.mark.parametrize(
    "data",
    [b"", b"PYRO", HELLO[:20], HELLO, HELLO + message(wire.INVOKE, b"x")[:41]],
    ids=["nothing", "tag", "half a greeting", "greeting", "half a call"],
)
def test_a_stranger_who_falls_silent_is_disconnected(node, raw, monkeypatch, data):
    monkeypatch.setattr(connection, "STRANGER_TIMEOUT", 0.3)
    node.serve(trusted=False)
    assert ended(raw(data))
    until(lambda: all(r.gone_calls == 1 for r in node.responders))
    until(lambda: not node.server._roster.members())


def drip(sock, data, interval=0.05):
    """Sends a byte at a time until it cannot."""

    def run():
        for byte in data:
            try:
                sock.sendall(bytes([byte]))
            except OSError:
                return
            if stopped.wait(interval):
                return

    stopped = threading.Event()
    thread = threading.Thread(target=run)
    thread.start()

    def stop():
        stopped.set()
        thread.join()

    return stop


def test_a_stranger_who_drips_bytes_gains_no_time(node, raw, monkeypatch):
    monkeypatch.setattr(connection, "STRANGER_TIMEOUT", 0.4)
    node.serve(trusted=False)
    sock = greeted(raw(HELLO))
    stop = drip(sock, message(wire.INVOKE, bytes(500)))
    sock.settimeout(2)
    assert ended(sock)
    stop()


def test_a_stranger_who_keeps_calling_gains_no_time(node, monkeypatch):
    monkeypatch.setattr(connection, "STRANGER_TIMEOUT", 0.3)
    channel = node.serve(trusted=False).connect()

    def call():
        channel.exchange(b"again", soon())

    with pytest.raises((NotDelivered, OutcomeUnknown)):
        until(call)


def test_a_trusted_peer_has_a_time_limit_for_a_message_but_not_between_messages(node, raw, monkeypatch):
    monkeypatch.setattr(connection, "STRANGER_TIMEOUT", 0.2)
    monkeypatch.setattr(connection, "MESSAGE_TIMEOUT", 0.3)
    idle = node.serve().connect()
    sock = greeted(raw(HELLO))
    stop = drip(sock, message(wire.INVOKE, bytes(500)))
    sock.settimeout(2)
    assert ended(sock)
    stop()
    assert idle.exchange(b"still here", soon()) == b"still here"


def test_silent_peers_delay_nobody(node, raw):
    node.serve()
    for _ in range(20):
        raw()
    assert node.connect().exchange(b"fine", Deadline.after(1)) == b"fine"


def test_one_stranger_too_many_displaces_the_first(node, raw, monkeypatch):
    monkeypatch.setattr(roster, "MAX_STRANGERS", 3)
    monkeypatch.setattr(connection, "STRANGER_TIMEOUT", 30)
    node.serve()
    trusted = [node.connect() for _ in range(5)]
    silent = [raw() for _ in range(4)]
    assert ended(silent[0])
    assert node.connect().exchange(b"fine", soon()) == b"fine"
    for channel in trusted:
        assert channel.exchange(b"fine", soon()) == b"fine"
    silent[3].settimeout(0.1)
    assert not ended(silent[3])


def test_above_the_limit_connections_are_closed_unread(node, raw, monkeypatch):
    monkeypatch.setattr(roster, "MAX_CONNECTIONS", 3)
    channels = [node.serve().connect(), node.connect(), node.connect()]
    assert ended(raw(b"GET"))
    with pytest.raises(NotDelivered, match="did not answer as a fly_orm node"):
        node.connect()
    channels[0].close()
    until(lambda: len(node.server._roster.members()) == 2)
    assert node.connect().exchange(b"fine", soon()) == b"fine"


def test_a_reply_over_the_limit_is_not_even_begun(node, raw):
    node.serve(lambda request: bytes(MAX_MESSAGE_BYTES + 1))
    assert greeted(raw(HELLO, message(wire.INVOKE, b"read"))).recv(1) == b""


def test_a_responder_that_breaks_its_promise_is_logged(node, caplog):
    def answer(request):
        raise OSError("planted")

    with pytest.raises(OutcomeUnknown):
        node.serve(answer).connect().exchange(b"write", soon())
    until(lambda: "planted" in caplog.text)
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_a_request_that_arrives_as_the_server_closes_is_not_executed(node):
    channel = node.serve().connect()
    (served,) = node.server._roster.members()
    served._draining = True  # as drain() leaves it that came just after the request
    with pytest.raises(OutcomeUnknown):
        channel.exchange(b"write", soon())
    assert node.responder.requests == []


def test_a_peer_is_watched_only_while_its_request_is_answered(node, monkeypatch):
    node.serve().connect().exchange(b"hello", soon())
    (served,) = node.server._roster.members()
    monkeypatch.setattr(wire.Link, "quiet", lambda link: False)
    lost = []
    served.notice_peer(lost.append)
    assert lost == []


def test_a_peer_that_sends_more_before_it_has_its_reply_is_gone(node, raw):
    held = Held()
    node.serve(held)
    greeted(raw(HELLO, message(wire.INVOKE, b"one"), message(wire.INVOKE, b"two")))
    until(lambda: node.responder.gone_calls == 1)
    held.released.set()


# A server that misbehaves


class FalseServer:
    """Accepts one connection and does to it what the test says."""

    def __init__(self, *actions):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.actions = actions
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        sock, _ = self.listener.accept()
        with sock:
            sock.settimeout(10)
            for action in self.actions:
                action(sock)
            self.done.wait(10)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        self.listener.close()


def says(data):
    return lambda sock: sock.sendall(data)


def hears(size):
    return lambda sock: sock.recv(size, socket.MSG_WAITALL)


def hangs_up(sock):
    sock.shutdown(socket.SHUT_RDWR)


GREETS = hears(len(HELLO)), says(wire.frame(wire.CONNECTED, 0, wire.HELLO))
HEARS_CALL = hears(40 + len(b"write"))


@pytest.mark.parametrize(
    "actions",
    [
        [],
        [hears(len(HELLO)), hangs_up],
        [says(b"HTTP/1.1 400 Bad Request\r\n\r\n")],
        [says(message(3, b"rejected"))],
        [says(message(wire.CONNECTED, size=MAX_MESSAGE_BYTES))],
        [says(message(wire.CONNECTED, wire.HELLO, serializer=2))],
    ],
    ids=["silent", "closes", "http", "rejects", "long", "marshal"],
)
def test_a_server_that_does_not_greet_means_not_delivered(node, actions):
    with FalseServer(*actions) as server, pytest.raises(NotDelivered, match="did not answer as a fly_orm node"):
        node.transport.connect(server.address, Deadline.after(0.3))


@pytest.mark.parametrize(
    "actions",
    [
        [],
        [hangs_up],
        [says(wire.frame(wire.RESULT, 2, b"the reply to another request"))],
        [says(wire.frame(wire.CONNECTED, 1, b"reply"))],
        [says(message(wire.RESULT, b"reply", flags=Pyro5.protocol.FLAGS_EXCEPTION))],
        [says(message(wire.RESULT, b"reply", flags=Pyro5.protocol.FLAGS_COMPRESSED))],
        [says(message(wire.RESULT, b"reply", serializer=2))],
        [says(message(wire.RESULT, size=MAX_MESSAGE_BYTES + 1))],
        [says(wire.frame(wire.RESULT, 1, b"reply")[:42]), hangs_up],
        [lambda sock: drip(sock, wire.frame(wire.RESULT, 1, bytes(100)))],
    ],
    ids=["silent", "closes", "seq", "kind", "exception", "compressed", "marshal", "long", "short", "drips"],
)
def test_a_request_that_gets_no_proper_reply_has_an_unknown_outcome(node, actions):
    with FalseServer(*GREETS, HEARS_CALL, *actions) as server:
        channel = node.connect(server.address)
        with pytest.raises(OutcomeUnknown) as caught:
            channel.exchange(b"write", Deadline.after(0.4))
        assert caught.value.address == server.address
        with pytest.raises(NotDelivered):
            channel.exchange(b"next", soon())


def resets(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("action", [hangs_up, resets, says(b"unasked")])
def test_a_stale_connection_means_not_delivered(node, action):
    happened = threading.Event()
    with FalseServer(*GREETS, action, lambda sock: happened.set()) as server:
        channel = node.connect(server.address)
        assert happened.wait(5)
        with pytest.raises(NotDelivered, match="closed by the node"):
            channel.exchange(b"write", soon())


@pytest.mark.parametrize("hangs_up_after", [hears(1), hears(1_000_000)])
def test_a_request_that_could_not_be_sent_whole_is_not_delivered(node, hangs_up_after):
    with FalseServer(*GREETS, hangs_up_after, lambda sock: sock.close()) as server:
        channel = node.connect(server.address)
        with pytest.raises(NotDelivered, match="sending failed"):
            channel.exchange(bytes(MAX_MESSAGE_BYTES), soon())


def test_a_request_that_the_server_does_not_take_in_time_is_not_delivered(node):
    with FalseServer(*GREETS) as server:
        channel = node.connect(server.address)
        with pytest.raises(NotDelivered, match="timed out"):
            channel.exchange(bytes(MAX_MESSAGE_BYTES), Deadline.after(0.3))


# Peers that die


class Process:
    """Another Python process, which has printed a line."""

    def __init__(self, code, *arguments):
        prelude = """
            import os, sys, threading, time
            from fly_orm.deadline import Deadline
            from fly_orm_transports.pyro5 import Pyro5Transport
        """
        source = textwrap.dedent(prelude) + textwrap.dedent(code)
        self.process = subprocess.Popen([sys.executable, "-c", source, *arguments], stdout=subprocess.PIPE, text=True)
        self.line = self.process.stdout.readline().strip()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self.process.communicate(timeout=10)


CLIENT = """
channel = Pyro5Transport().connect(sys.argv[1], Deadline.after(5))
print("connected", flush=True)
channel.exchange(sys.argv[2].encode(), Deadline.after(60))
time.sleep(60)
"""
SERVER = """
class Responder:
    trusted = True
    def respond(self, request):
        print("answering", flush=True)
        if request == b"hold":
            time.sleep(60)
        return request
    def gone(self):
        pass
server = Pyro5Transport().serve("127.0.0.1:0", lambda peer: Responder())
print(server.address, flush=True)
time.sleep(60)
"""


def test_a_forked_child_is_told_that_the_channel_is_the_parents(node):
    channel = node.serve().connect()

    def child():
        with pytest.raises(NotDelivered, match="forked from"):
            channel.exchange(b"child", soon())

    in_child(child)


def test_the_death_of_an_idle_client_is_noticed(node):
    node.serve()
    with Process(CLIENT, node.server.address, "hello") as client:
        until(lambda: node.responder.replied)
        assert node.responder.gone_calls == 0
        client.kill()
        until(lambda: node.responder.gone_calls == 1, 2)


def test_the_death_of_a_client_is_noticed_while_its_request_is_answered(node):
    held = Held()
    node.serve(held)
    with Process(CLIENT, node.server.address, "hello") as client:
        assert held.started.wait(5)
        client.kill()
        until(lambda: node.responder.gone_calls == 1, 2)
        assert node.responder.replied == 0
    held.released.set()
    until(lambda: not node.server._roster.members())
    assert node.responder.gone_calls == 1


def test_the_death_of_a_client_is_noticed_though_a_child_of_it_lives(node):
    node.serve()
    fork = """
    channel = Pyro5Transport().connect(sys.argv[1], Deadline.after(5))
    child = os.fork()
    if child == 0:
        time.sleep(60)
    print(child, flush=True)
    time.sleep(60)
    """
    with Process(fork, node.server.address) as client:
        try:
            client.kill()
            until(lambda: node.responder.gone_calls == 1, 2)
            assert psutil.Process(int(client.line)).status() != psutil.STATUS_ZOMBIE
        finally:
            os.kill(int(client.line), signal.SIGKILL)


def test_nobody_listens_any_more_when_the_server_has_died_though_a_child_of_it_lives(node):
    fork = """
    server = Pyro5Transport().serve("127.0.0.1:0", lambda peer: None)
    child = os.fork()
    if child == 0:
        time.sleep(60)
    print(server.address, child, flush=True)
    time.sleep(60)
    """
    with Process(fork) as server:
        address, child = server.line.split()
        try:
            server.kill()
            server.process.wait(10)
            with pytest.raises(NotDelivered, match="refused"):
                node.connect(address)
        finally:
            os.kill(int(child), signal.SIGKILL)


def test_the_death_of_an_idle_server_means_not_delivered(node):
    with Process(SERVER) as server:
        channel = node.connect(server.line)
        assert channel.exchange(b"hello", soon()) == b"hello"
        server.kill()
        server.process.wait(10)
        with pytest.raises(NotDelivered):
            channel.exchange(b"write", soon())


def test_the_death_of_a_server_that_is_answering_leaves_the_outcome_unknown(node):
    with Process(SERVER) as server:
        channel = node.connect(server.line)
        pending = in_thread(channel.exchange, b"hold", soon(30))
        assert server.process.stdout.readline().strip() == "answering"
        server.kill()
        with pytest.raises(OutcomeUnknown):
            pending.result(5)
