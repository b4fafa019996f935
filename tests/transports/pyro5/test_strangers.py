"""A stranger costs bounded memory, threads and time."""

from __future__ import annotations

from contextlib import suppress

import psutil
import Pyro5.api
import Pyro5.protocol
import Pyro5.serializers
import pytest

from fly_orm.deadline import Deadline
from fly_orm.errors import NotDelivered, OutcomeUnknown
from fly_orm.settings import Settings
from fly_orm.testing.contract.tools import LAST_REPLY, Held, soon, until
from fly_orm.transport import MAX_MESSAGE_BYTES, STRANGER_MAX_MESSAGE_BYTES
from fly_orm_transports.pyro5 import Pyro5Transport, connection, connection_table, stranger, wire
from tests.support.pyro5_messages import HELLO, drip, ended, greeted, message

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


def with_options(**options):
    return Pyro5Transport(Settings(transport_options=options))


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_what_is_not_our_greeting_is_refused_at_once(node, raw, monkeypatch, data):
    monkeypatch.setattr(stranger, "STRANGER_TIMEOUT", 30)
    node.serve()
    assert ended(raw(data))
    assert node.responders == []
    assert node.connect().exchange(b"fine", soon()) == b"fine"


@pytest.mark.parametrize("data", REFUSED_LATER.values(), ids=REFUSED_LATER)
def test_what_is_not_a_plain_call_is_refused_at_once(node, raw, monkeypatch, data):
    monkeypatch.setattr(stranger, "STRANGER_TIMEOUT", 30)
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
    until(lambda: len(node.server._table.snapshot()) == 10)
    assert node.connect().exchange(b"fine", soon()) == b"fine"
    assert process.memory_info().rss - before.rss < 10_000_000


@pytest.mark.parametrize(
    "data",
    [b"", b"PYRO", HELLO[:20], HELLO, HELLO + message(wire.INVOKE, b"x")[:41]],
    ids=["nothing", "tag", "half a greeting", "greeting", "half a call"],
)
def test_a_stranger_who_falls_silent_is_disconnected(node, raw, monkeypatch, data):
    monkeypatch.setattr(stranger, "STRANGER_TIMEOUT", 0.3)
    node.serve(trusted=False)
    assert ended(raw(data))
    until(lambda: all(r.gone_calls == 1 for r in node.responders))
    until(lambda: not node.server._table.snapshot())


def test_a_stranger_who_drips_bytes_gains_no_time(node, raw, monkeypatch):
    monkeypatch.setattr(stranger, "STRANGER_TIMEOUT", 0.4)
    node.serve(trusted=False)
    sock = greeted(raw(HELLO))
    stop = drip(sock, message(wire.INVOKE, bytes(500)))
    sock.settimeout(2)
    assert ended(sock)
    stop()


def test_a_stranger_who_keeps_calling_gains_no_time(node, monkeypatch):
    monkeypatch.setattr(stranger, "STRANGER_TIMEOUT", 0.3)
    channel = node.serve(trusted=False).connect()

    def call():
        channel.exchange(b"again", soon())

    with pytest.raises((NotDelivered, OutcomeUnknown)):
        until(call)


def test_a_trusted_peer_has_a_time_limit_for_a_message_but_not_between_messages(node, raw, monkeypatch):
    monkeypatch.setattr(stranger, "STRANGER_TIMEOUT", 0.2)
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
    node.transport = with_options(max_strangers="3")
    monkeypatch.setattr(stranger, "STRANGER_TIMEOUT", 30)
    node.serve()
    trusted = []
    for _ in range(5):
        trusted.append(node.connect())
        trusted[-1].exchange(b"the greeting is answered", soon())  # until then it is a stranger, too
    silent = [raw() for _ in range(4)]
    assert ended(silent[0])
    assert node.connect().exchange(b"fine", soon()) == b"fine"
    for channel in trusted:
        assert channel.exchange(b"fine", soon()) == b"fine"
    silent[3].settimeout(0.1)
    assert not ended(silent[3])


def test_above_the_limit_peers_are_turned_away(node, raw, monkeypatch):
    monkeypatch.setattr(connection_table, "IDLE_TIME", 60)  # until which an idle channel makes no room
    node.transport = with_options(max_connections="3")
    channels = [node.serve().connect(), node.connect(), node.connect()]
    until(lambda: len(node.server._table.snapshot()) == 3)
    assert ended(raw(HELLO))
    with suppress(NotDelivered, OutcomeUnknown):  # it depends on which end is first to send
        assert node.connect().exchange(b"write", soon()) == LAST_REPLY
    assert node.requests == []
    channels[0].close()
    until(lambda: len(node.server._table.snapshot()) == 2)
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
    until(node.server._table.snapshot)
    (served,) = node.server._table.snapshot()
    served._draining = True  # as drain() leaves it that came just after the request
    with pytest.raises(OutcomeUnknown):
        channel.exchange(b"write", soon())
    assert node.responder.requests == []


def test_a_peer_is_watched_only_while_its_request_is_answered(node, monkeypatch):
    node.serve().connect().exchange(b"hello", soon())
    (served,) = node.server._table.snapshot()
    monkeypatch.setattr(wire.MessageStream, "is_idle", lambda stream: False)
    lost = []
    served.check_peer(lost.append)
    assert lost == []


def test_a_peer_that_sends_more_before_it_has_its_reply_is_gone(node, raw):
    held = Held()
    node.serve(held)
    greeted(raw(HELLO, message(wire.INVOKE, b"one"), message(wire.INVOKE, b"two")))
    until(lambda: node.responder.gone_calls == 1)
    held.released.set()
