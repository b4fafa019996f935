"""A message on its way, without NATS."""

import asyncio
from contextlib import suppress
from types import SimpleNamespace

import pytest
from fly_orm_nats.caller_end import CallerEnd
from fly_orm_nats.exchange import Exchange
from fly_orm_nats.frames import WINDOW_BYTES
from fly_orm_nats.node_end import NodeEnd
from fly_orm_nats.peers import Peers

MESSAGE = bytes(4 * WINDOW_BYTES)


class Swallowing:
    """A connection that, as nats-py may, does not let a cancellation through."""

    ended = False
    client = SimpleNamespace(max_payload=WINDOW_BYTES)

    def __init__(self):
        self.peers = Peers(lambda peer, frame: None)
        self.sent = 0

    async def publish(self, peer, frame, *reference):
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0.01)
        self.sent += 1

    def create_task(self, function, *arguments):
        return asyncio.ensure_future(function(*arguments))

    def call_later(self, seconds, function):
        return asyncio.get_running_loop().call_later(seconds, function)


def request(connection):
    end = CallerEnd(connection, "peer", b"channel ")
    end.start(Exchange(), MESSAGE)
    return end


def reply(connection):
    end = NodeEnd(connection, "peer", b"channel ", lambda peer: None, lambda end: None)
    end._answer(1, MESSAGE, True)
    return end


@pytest.mark.parametrize("send", [request, reply])
def test_what_is_given_up_is_let_go_of_though_a_cancellation_is_swallowed(send):
    async def give_up():
        connection = Swallowing()
        end = send(connection)
        await asyncio.sleep(0)  # it is sending
        end.end("it was given up")
        done, _ = await asyncio.wait([end._task], timeout=1)
        return len(done), connection.sent

    assert asyncio.run(give_up()) == (1, 1)
