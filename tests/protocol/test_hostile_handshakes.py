"""Whatever a stranger says instead of the handshake is dropped, and what is sealed arrives exactly once."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import example, given
from hypothesis import strategies as st

from fly_orm.errors import AuthenticationFailed, NotDelivered
from fly_orm.protocol.handshake import ClientHandshake, GuardedResponder
from fly_orm.protocol.secret import Secrets
from tests.protocol.test_handshake import SECRET, Echo, connect

messages = st.lists(st.binary(max_size=100), max_size=4)


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=4))
@example([ClientHandshake(Secrets(SECRET)).hello, b"x" * 40])
def test_nothing_that_a_stranger_sends_gets_through(said):
    inner = Echo()
    server = GuardedResponder(Secrets(SECRET), inner)
    for message in said:
        reply = server.respond(message)
        assert reply is None or len(reply) < 100
    assert inner.heard == []
    assert not server.trusted


@given(st.binary(max_size=200))
def test_no_answer_but_the_right_one_is_accepted(answer):
    with suppress(NotDelivered, AuthenticationFailed):
        raise AssertionError(ClientHandshake(Secrets(SECRET)).accept(answer, "syd=a:1"))


@given(messages)
def test_what_is_sealed_arrives_as_it_was(sent):
    seal, server, inner = connect()
    assert [seal.open(server.respond(seal.close(message))) for message in sent] == [each[::-1] for each in sent]
    assert inner.heard == sent


@given(st.binary(max_size=100), st.integers(0, 10**6), st.integers(1, 255))
def test_an_altered_message_gets_no_reply(message, place, difference):
    seal, server, inner = connect()
    sealed = bytearray(seal.close(message))
    sealed[place % len(sealed)] ^= difference
    assert server.respond(bytes(sealed)) is None
    assert inner.heard == []
