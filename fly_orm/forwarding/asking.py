"""Asks a node what became of a request that got no reply."""

from __future__ import annotations

import msgspec

from ..deadline import Deadline, now
from ..errors import NoChannel, NotDelivered, OutcomeUnknown
from ..protocol.messages import Declined, Settle, Settled
from .channels import NodeChannels, OldChannelLost
from .response import Response, refused

#: The most seconds that one node may take, so that there is time to ask another one.
ATTEMPT_TIMEOUT = 1.0
#: The share of the time left that it may take.
_SHARE = 2 / 3


def ask(channels: NodeChannels, question: Settle, deadline: Deadline, avoid: str = "") -> Response[Settled]:
    """What this node answers. NotDelivered or Refused if it does not, since the question can be repeated.

    The node that ``avoid`` names is not asked.
    """
    if str(channels.node) == avoid:
        raise NoChannel(f"{avoid} has not replied before", node=avoid)
    left = deadline.remaining()
    limit, started = deadline.within(ATTEMPT_TIMEOUT if left is None else min(ATTEMPT_TIMEOUT, left * _SHARE)), now()
    channel = channels.acquire(limit)
    try:
        run = msgspec.structs.replace(question.run, timeout=channel.node_timeout(limit))
        reply = channel.request(msgspec.structs.replace(question, run=run), limit)
    except BaseException as error:
        channels.discard(channel)
        if isinstance(error, NotDelivered | OutcomeUnknown):
            failure = OldChannelLost if channel.reused and not limit.expired else NotDelivered
            raise failure(str(error)) from NotDelivered(str(error))
        raise
    channels.release(channel)
    if isinstance(reply, Settled):
        return Response(reply=reply, node=channels.node, elapsed=now() - started)
    if isinstance(reply, Declined):
        raise refused(reply, channels.node)
    raise NotDelivered(f"{channels.node} replied with an unexpected {type(reply).__name__}", node=str(channels.node))
