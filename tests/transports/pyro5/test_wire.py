"""It really is Pyro5 on the wire, and nothing but bytes in it."""

from __future__ import annotations

import struct
import uuid

import Pyro5.api
import Pyro5.protocol
import Pyro5.serializers
import pytest
from Pyro5.protocol import SendingMessage

from fly_orm.testing.contract.tools import in_thread, soon
from fly_orm_transports.pyro5 import wire

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
    assert wire.frame(1, 65535, b"12345") == SendingMessage(1, 0, 65535, 70, b"12345").data
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
