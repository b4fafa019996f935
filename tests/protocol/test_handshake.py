"""Both ends prove that they hold the secret, and every message is sealed."""

from __future__ import annotations

import pytest

from fly_orm.errors import AuthenticationFailed, NotDelivered
from fly_orm.protocol import handshake
from fly_orm.protocol.handshake import ClientHandshake, GuardedResponder, OnFailure
from fly_orm.protocol.keys import keys_of
from fly_orm.protocol.secret import Secrets

SECRET = "0123456789abcdef"
OTHER = "another-secret.."
HEADER = b"fly_orm\0" + handshake.PROTOCOL.to_bytes(2, "big")


class Echo:
    trusted = True

    def __init__(self):
        self.heard = []
        self.was_told = 0

    def respond(self, request):
        self.heard.append(request)
        return request[::-1]

    def last_reply(self, *, is_full=False):
        return b"declined"

    def gone(self):
        self.was_told += 1


def connect(client_secret=SECRET, server_secret=SECRET):
    """A client's seal and the guarded server that it talks to."""
    inner = Echo()
    server = GuardedResponder(Secrets(server_secret), inner)
    client = ClientHandshake(Secrets(client_secret))
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
        connect(client_secret=OTHER)


def test_a_client_without_a_secret_is_told_that_it_has_none():
    with pytest.raises(AuthenticationFailed, match=r"this process has no FLY_ORM_SECRET, and .* has one; set"):
        connect(client_secret="")


def test_a_stranger_learns_nothing_to_guess_at():
    """Whatever the secret of the server is, the answer to a stranger is the same but for its random nonce."""
    failed = []
    on_failure = OnFailure(wrong_secret=lambda: failed.append(1) or 0.0)
    server = GuardedResponder(Secrets(SECRET), Echo(), on_failure)
    answer = server.respond(ClientHandshake(Secrets(OTHER)).hello)
    assert answer[:10] + answer[42:] == b"fly_orm\0" + handshake.PROTOCOL.to_bytes(2, "big") + b"\xff"
    assert failed == [1]


def test_a_client_that_ignores_that_gets_nothing_through():
    inner = Echo()
    server = GuardedResponder(Secrets(SECRET), inner)
    client = ClientHandshake(Secrets(OTHER))
    answer = server.respond(client.hello)
    says, hears = handshake._seal_keys(keys_of(Secrets(OTHER))[0], client.hello + answer)
    assert server.respond(handshake.Seal(says, hears).close(b"DROP TABLE")) is None
    assert inner.heard == []
    assert not server.trusted


def test_one_who_replays_a_hello_gets_nothing_through():
    inner, failed = Echo(), []
    recorded = ClientHandshake(Secrets(SECRET)).hello
    server = GuardedResponder(Secrets(SECRET), inner, OnFailure(wrong_secret=lambda: failed.append(1) or 0.0))
    assert len(server.respond(recorded)) > 43  # the server believes the hint for now
    assert server.respond(b"x" * 100) is None
    assert (inner.heard, failed, server.trusted) == ([], [1], False)


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


@pytest.mark.parametrize(
    "hello",
    [
        b"",
        b"GET / HTTP/1.1",
        b"x" * 42,
        b"fly_orm\0",
        HEADER + b"x" * 32,
        HEADER + b"x" * 47,
        HEADER + b"x" * (32 + 5 * 16),
    ],
)
def test_a_stranger_who_does_not_say_hello_is_dropped(hello):
    inner = Echo()
    assert GuardedResponder(Secrets(SECRET), inner).respond(hello) is None
    assert inner.heard == []


def test_an_answer_of_something_else_is_no_node():
    with pytest.raises(NotDelivered, match="does not speak fly_orm's protocol"):
        ClientHandshake(Secrets(SECRET)).accept(b"HTTP/1.1 400 Bad Request", "syd=a:1")


def test_another_protocol_version_is_named_on_both_sides(monkeypatch):
    versions = []
    client = ClientHandshake(Secrets(SECRET))
    monkeypatch.setattr(handshake, "PROTOCOL", 7)
    server = GuardedResponder(Secrets(SECRET), Echo(), OnFailure(wrong_version=versions.append))
    answer = server.respond(client.hello)
    monkeypatch.undo()
    with pytest.raises(NotDelivered, match=f"speaks version 7 .* this process version {handshake.PROTOCOL}"):
        client.accept(answer, "syd=a:1")
    assert versions == [handshake.PROTOCOL]
    assert server.respond(client.hello) is None


def test_a_client_of_the_first_version_is_told_that_it_is_not_understood():
    """That version reads a shorter answer as another protocol's; a longer one, as from a node with another secret."""
    versions = []
    server = GuardedResponder(Secrets(SECRET), Echo(), OnFailure(wrong_version=versions.append))
    assert len(server.respond(b"fly_orm\0" + (1).to_bytes(2, "big") + b"n" * 32)) < 42
    assert versions == [1]


def test_two_channels_have_different_keys():
    seal, _, _ = connect()
    _, server, inner = connect()
    assert server.respond(seal.close(b"for another channel")) is None
    assert inner.heard == []


def test_the_responder_behind_is_told_that_the_peer_is_gone():
    _, server, inner = connect()
    server.gone()
    assert inner.was_told == 1


@pytest.mark.parametrize(
    ("client", "server"),
    [
        ("OLD", "OLD NEW"),
        ("OLD NEW", "OLD"),
        ("OLD", "NEW OLD"),
        ("NEW OLD", "OLD"),
        ("OLD NEW", "NEW OLD"),
        ("NEW OLD", "OLD NEW"),
        ("NEW OLD", "NEW"),
        ("NEW", "NEW OLD"),
    ],
)
def test_two_ends_that_share_any_secret_come_together(client, server):
    values = {"OLD": SECRET, "NEW": OTHER}
    one, other = (" ".join(values[each] for each in names.split()) for names in (client, server))
    seal, responder, _ = connect(one, other)
    assert seal.open(responder.respond(seal.close(b"one"))) == b"eno"


def test_two_ends_that_have_exchanged_all_secrets_do_not():
    with pytest.raises(AuthenticationFailed):
        connect(f"{SECRET},third-secret....", OTHER)


def test_a_server_cannot_prove_a_secret_by_reflecting_the_hint_for_it():
    client = ClientHandshake(Secrets(SECRET))
    for number in (0, 1, 254, 255):
        answer = HEADER + b"n" * 32 + bytes([number])
        for proof in (b"", client.hello[42:], client.hello[-32:]):
            with pytest.raises(AuthenticationFailed):
                client.accept(answer + proof, "syd=a:1")
