"""Messages arrive as they were sent, and bytes that are no message are an error that says so."""

from __future__ import annotations

from contextlib import contextmanager, suppress

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fly_orm.protocol.encoding import MessageError, decode_reply, decode_request, encode
from fly_orm.protocol.messages import Done, Reply, Request, Result
from fly_orm.runtime.runtime import Runtime
from fly_orm.serving.channel_executor import ChannelExecutor
from fly_orm.serving.executor import Executor
from fly_orm.serving.function_runner import FunctionRunner
from fly_orm.settings import Settings
from fly_orm.topology import Topology
from tests.support.memory import takes_at_most, takes_little_memory
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


def refused(message):
    with pytest.raises(MessageError, match="the request has more than 10000 elements"):
        decode_request(message, 10_000)


MANY = {
    "arguments": {"type": "call", "function": "f", "positional": [b""] * 100_000},
    "statements": {"type": "run", "database": "d", "lease": b"", "statements": [b""] * 100_000},
    "something unknown": {"type": "greet", "region": "lax", "new": [[]] * 100_000},
}


@pytest.mark.parametrize("case", MANY)
def test_a_request_of_more_elements_than_the_limit_takes_no_memory(case):
    assert takes_at_most(100_000, refused, pack(MANY[case]))


def test_a_reply_of_many_arrays_takes_no_memory():
    reply = pack({"type": "done", "result": {"columns": None, "data": [[]] * 4_500_000}})

    def refused(message):
        with pytest.raises(MessageError, match="arrays and maps"):
            decode_reply(message)

    assert takes_at_most(12 * 2**20, refused, reply)  # two copies of it, no more


def test_a_long_result_of_any_text_arrives():
    data = [["я".encode() * 400_000, None, *[b"\x90" * 1000] * 5000]]
    assert decode_reply(encode(Done(result=Result(data=data)))).result.data == data


@contextmanager
def node():
    """A node that serves no database."""
    runtime = Runtime(Settings(topology=Topology(region="syd", primary_region="syd")))
    runner = FunctionRunner(runtime, [])
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
