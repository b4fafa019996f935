"""The caller's end of a call: one request to one node, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from ..deadline import Deadline, now
from ..errors import NotDelivered, NotSupported, OutcomeUnknown
from ..protocol.messages import Call, Declined, Reply, Returned
from ..topology import Node
from .channels import NodeChannels, OldChannelLost, refused


@dataclass(frozen=True, kw_only=True)
class CallAnswer:
    """What a function came to on a node, and how long asking for it took (seconds)."""

    returned: Returned
    node: Node
    seconds: float


def send(channels: NodeChannels, call: Call, deadline: Deadline) -> CallAnswer:
    """What the function came to on this node. NotDelivered or Refused if it certainly did not run there."""
    started = now()
    with channels.room_for_call(deadline):
        reply = _exchange(channels, call, deadline, started)
    if isinstance(reply, Returned):
        return CallAnswer(returned=reply, node=channels.node, seconds=now() - started)
    if isinstance(reply, Declined):
        raise refused(reply, channels.node)
    raise OutcomeUnknown(f"{channels.node} answered {call.function} with {type(reply).__name__}")


def _exchange(channels: NodeChannels, call: Call, deadline: Deadline, started: float) -> Reply:
    channel = channels.acquire(deadline)
    try:
        reply = channel.request(msgspec.structs.replace(call, timeout=channel.node_timeout(deadline)), deadline)
    except NotSupported:
        channels.release(channel)  # nothing was sent
        raise
    except BaseException as error:
        channels.discard(channel)
        if isinstance(error, NotDelivered) and channel.opened < started:
            raise OldChannelLost(str(error)) from error
        if isinstance(error, OutcomeUnknown):
            facts = {"node": str(channels.node)}
            raise OutcomeUnknown(f"{call.function} may have run on {channels.node}: {error}", **facts) from error
        raise
    channels.release(channel)
    return reply
