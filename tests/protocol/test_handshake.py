"""Both ends prove that they hold the secret, and every message is sealed."""

from __future__ import annotations

import pytest

from fly_orm.errors import AuthenticationFailed, NotDelivered
from fly_orm.protocol import handshake
from fly_orm.protocol.handshake import ClientHandshake, GuardedResponder

SECRET = "0123456789abcdef"


class Echo:
    trusted = True

    def __init__(self):
        self.heard = []
        self.was_told = 0

    def respond(self, request):
        self.heard.append(request)
        return request[::-1]

    def last_reply(self):
        return b"declined"

    def gone(self):
        self.was_told += 1


def connect(client_secret=SECRET, server_secret=SECRET):
    """A client's seal and the guarded server that it talks to."""
    inner = Echo()
    server = GuardedResponder(server_secret, inner)
    client = ClientHandshake(client_secret)
    return client.accept(server.respond(client.hello), "syd=a:1"), server, inner


def test_a_sealed_request_gets_a_sealed_reply():
    seal, server, inner = connect()
    for message in (b"one", b"", b"three"):
        assert seal.open(server.respond(seal.close(message))) == message[::-1]
    assert inner.heard == [b"one", b"", b"three"]


def test_the_last_reply_is_the_next_sealed_one_and_nothing_for_a_stranger():
    seal, server, inner = connect()
    assert server.last_reply() is None
    assert seal.open(server.respond(seal.close(b"one"))) == b"eno"
    last = server.last_reply()
    seal.close(b"on its way")
    assert seal.open(last) == b"declined"
    assert inner.heard == [b"one"]


def test_a_peer_is_trusted_only_after_its_first_sealed_request():
    seal, server, _ = connect()
    assert not server.trusted
    server.respond(seal.close(b"hello"))
    assert server.trusted


def test_a_client_with_another_secret_notices_that_the_server_has_not_its_secret():
    with pytest.raises(AuthenticationFailed, match="does not hold the same FLY_ORM_SECRET"):
        connect(client_secret="another secret ..")


def test_a_client_that_ignores_that_gets_nothing_through():
    inner = Echo()
    server = GuardedResponder(SECRET, inner)
    client = ClientHandshake("another secret ..")
    hello = server.respond(client.hello)[: handshake._HELLO.size]
    says, hears = handshake._keys(b"another secret ..", client.hello + hello)
    assert server.respond(handshake.Seal(says, hears).close(b"DROP TABLE")) is None
    assert inner.heard == []
    assert not server.trusted


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "replayed", "reflected", "swapped"])
def test_a_request_that_is_not_exactly_the_next_one_is_dropped(damage):
    seal, server, inner = connect()
    first = seal.close(b"first")
    reply = server.respond(first)
    second = seal.close(b"second")
    wrong = {
        "flipped": second[:-1] + bytes([second[-1] ^ 1]),
        "cut": second[:-1],
        "empty": b"",
        "replayed": first,
        "reflected": reply,
        "swapped": seal.close(b"third"),
    }[damage]
    assert server.respond(wrong) is None
    assert inner.heard == [b"first"]


@pytest.mark.parametrize("damage", [lambda r: r[:-1] + bytes([r[-1] ^ 1]), lambda r: r[1:], lambda r: b""])
def test_an_altered_reply_is_noticed(damage):
    seal, server, _ = connect()
    assert seal.open(damage(server.respond(seal.close(b"request")))) is None


@pytest.mark.parametrize("hello", [b"", b"GET / HTTP/1.1", b"x" * 42, b"fly_orm\0" + b"x" * 100])
def test_a_stranger_who_does_not_say_hello_is_dropped(hello):
    inner = Echo()
    assert GuardedResponder(SECRET, inner).respond(hello) is None
    assert inner.heard == []


def test_an_answer_of_something_else_is_no_node():
    with pytest.raises(NotDelivered, match="does not speak fly_orm's protocol"):
        ClientHandshake(SECRET).accept(b"HTTP/1.1 400 Bad Request", "syd=a:1")


def test_another_protocol_version_is_named_on_both_sides(monkeypatch):
    client = ClientHandshake(SECRET)
    server = GuardedResponder(SECRET, Echo())
    monkeypatch.setattr(handshake, "PROTOCOL", 7)
    answer = server.respond(client.hello)
    monkeypatch.undo()
    with pytest.raises(NotDelivered, match=f"speaks version 7 .* this process version {handshake.PROTOCOL}"):
        client.accept(answer, "syd=a:1")


def test_two_channels_have_different_keys():
    seal, _, _ = connect()
    _, server, inner = connect()
    assert server.respond(seal.close(b"for another channel")) is None
    assert inner.heard == []


def test_the_responder_behind_is_told_that_the_peer_is_gone():
    _, server, inner = connect()
    server.gone()
    assert inner.was_told == 1
