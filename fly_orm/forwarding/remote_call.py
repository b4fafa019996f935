"""The caller's side of a call: one request to one node."""

from __future__ import annotations

from ..deadline import Deadline, now
from ..errors import FlyOrmError, NotDelivered, NotPortable, NotSupported, OutcomeUnknown, Refused, TransactionLost
from ..protocol import reasons
from ..protocol.messages import Call, Declined, Reply, Returned
from ..topology import Node
from .channels import NodeChannels, OldChannelLost
from .response import Response, refused


def send(channels: NodeChannels, call: Call, deadline: Deadline) -> Response[Returned]:
    """Call a function on this node and return its response.

    NotDelivered or Refused if the function certainly did not run there, OutcomeUnknown if it may have.
    """
    started = now()
    with channels.call_slot(deadline):
        reply = _exchange(channels, call, deadline)
    if isinstance(reply, Returned):
        return Response(reply=reply, node=channels.node, elapsed=now() - started)
    if isinstance(reply, Declined):
        raise _declined(call, reply, channels.node)
    raise OutcomeUnknown(
        f"{channels.node} replied to the call of {call.function} with an unexpected {type(reply).__name__}",
        node=str(channels.node),
    )


def _exchange(channels: NodeChannels, call: Call, deadline: Deadline) -> Reply:
    channel = channels.acquire(deadline)
    try:
        if call.record is not None:
            channels.check_records(channel)
        reply = channel.request(call, deadline)
    except (NotSupported, Refused):
        channels.release(channel)  # nothing was sent, so the channel is as good as before
        raise
    except BaseException as error:
        channels.discard(channel)
        if isinstance(error, NotDelivered) and channel.reused:
            raise OldChannelLost(str(error)) from error
        if isinstance(error, OutcomeUnknown):
            message = f"{call.function} may have run on {channels.node}: {error}"
            raise OutcomeUnknown(message, **error.__dict__) from error
        raise
    if (
        isinstance(reply, Declined)
        and reply.reason in (reasons.EXPIRED, reasons.FULL)
        and channel.reused
        and not deadline.expired
    ):
        channels.discard(channel)
        raise OldChannelLost(reply.message) from refused(reply, channels.node)
    channels.release(channel)
    return reply


def _declined(call: Call, reply: Declined, node: Node) -> FlyOrmError:
    """The exception for a call that has no result. Those that are recorded run in a transaction, which may be lost."""
    match reply.reason:
        case reasons.UNKNOWN:
            return OutcomeUnknown(f"{call.function} may have run on {node}: {reply.message}", node=str(node))
        case reasons.LOST:
            return TransactionLost(f"{call.function} has committed nothing on {node}: {reply.message}", node=str(node))
        case reasons.NOT_PORTABLE:
            return NotPortable(f"{call.function} on {node}: {reply.message}")
        case _:
            return refused(reply, node)
