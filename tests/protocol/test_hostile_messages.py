"""Messages arrive as they were sent, and bytes that are no message are an error that says so."""

from __future__ import annotations

from contextlib import contextmanager, suppress

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fly_orm.protocol.encoding import MessageError, decode_reply, decode_request, encode
from fly_orm.protocol.messages import Reply, Request
from fly_orm.runtime.runtime import Runtime
from fly_orm.serving.channel_executor import ChannelExecutor
from fly_orm.serving.executor import Executor
from fly_orm.serving.function_runner import FunctionRunner
from fly_orm.settings import Settings
from fly_orm.topology import Topology
from tests.support.memory import takes_little_memory
from tests.support.structs import values_of

requests, replies = values_of(Request), values_of(Reply)


@given(requests)
def test_a_request_arrives_as_it_was_sent(request):
    assert decode_request(encode(request)) == request


@given(replies)
def test_a_reply_arrives_as_it_was_sent(reply):
    assert decode_reply(encode(reply)) == reply


def harmless(data):
    for decode in (decode_request, decode_reply):
        with suppress(MessageError):
            decode(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_harmless(data):
    harmless(data)


changes = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4)


@given((requests | replies).map(encode), changes)
def test_altered_messages_are_harmless(data, changes):
    altered = bytearray(data)
    for place, byte in changes:
        altered[place % len(altered)] = byte
    harmless(bytes(altered))


pack = msgspec.msgpack.encode
HUGE = {
    "an array of billions": b"\xdd\xff\xff\xff\xff",
    "a map of billions": b"\xdf\xff\xff\xff\xff",
    "a text of billions": b"\xdb\xff\xff\xff\xff",
    "a nest of arrays": b"\x91" * 100_000,
    "statements of billions": pack({"type": "run"})[:-3] + pack("run") + pack("statements") + b"\xdd\xff\xff\xff\xff",
}


@pytest.mark.parametrize("case", HUGE)
def test_few_bytes_do_not_take_much_memory(case):
    assert takes_little_memory(harmless, HUGE[case])


@contextmanager
def node():
    """A node that serves no database."""
    runtime = Runtime(Settings(topology=Topology(region="syd", primary_region="syd")))
    runner = FunctionRunner(runtime, [], max_size=1)
    executor = Executor("syd", [], runner)
    yield executor
    executor.close()
    runner.close()


@settings(deadline=None)
@given(st.lists(requests.map(encode) | st.binary(max_size=60), max_size=5))
def test_a_node_replies_to_whatever_a_peer_sends(sent):
    with node() as executor:
        channel = ChannelExecutor(executor)
        for data in sent:
            assert decode_reply(channel.respond(data)) is not None
        channel.gone()
