"""Messages arrive in frames as they were sent, and anything else is not a frame, or a malformed message."""

from contextlib import suppress
from itertools import chain

from fly_orm_nats.frames import Assembly, Frame, Kind, MalformedMessage, chunks, decode
from fly_orm_nats.subjects import parse_address
from hypothesis import given
from hypothesis import strategies as st

from fly_orm.errors import ConfigurationError

kinds, numbers = st.sampled_from(Kind), st.integers(0, 2**32 - 1)
frames = st.builds(Frame, kinds, st.binary(min_size=8, max_size=8), numbers, numbers, numbers, st.binary(max_size=40))


@given(frames)
def test_a_frame_arrives_as_it_was_sent(frame):
    assert decode(frame.encode()) == frame


@given(st.binary(max_size=100))
def test_any_bytes_are_a_frame_or_none(data):
    frame = decode(data)
    assert frame is None or frame.encode() == data


@given(st.lists(st.binary(max_size=300), max_size=3), st.integers(22, 100))
def test_messages_are_put_together_as_they_were(messages, max_payload):
    assembly = Assembly()
    sent = [chunks(Kind.REQUEST, b"channel ", number, message, max_payload) for number, message in enumerate(messages)]
    arrived = [assembly.add(decode(frame.encode()), 300) for frame in chain.from_iterable(sent)]
    assert [each for each in arrived if each is not None] == messages


small = st.integers(0, 30)


@given(st.lists(st.builds(Frame, kinds, st.just(bytes(8)), small, small, small, st.binary(max_size=20)), max_size=6))
def test_any_frames_are_a_message_or_malformed(found):
    assembly = Assembly()
    for frame in found:
        try:
            whole = assembly.add(frame, 25)
        except MalformedMessage:
            return
        assert whole is None or len(whole) <= 25
        assert assembly.bytes_to_acknowledge() <= 25


@given(st.text() | st.text("nats:._-ab01*> "))
def test_any_text_is_an_address_or_an_error(text):
    with suppress(ConfigurationError):
        assert str(parse_address(text)) == text
