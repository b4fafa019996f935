"""Asks a node to cancel the statement that runs in a lease."""

from __future__ import annotations

from ..deadline import Deadline
from ..errors import NotDelivered
from ..protocol.messages import Cancel
from .channels import NodeChannels


def cancel(channels: NodeChannels, lease: bytes, deadline: Deadline) -> None:
    """Cancel what runs in a lease. FlyOrmError if the node cannot be told.

    Over another channel, since the lease's own is waiting for the reply to that statement. If that channel turns out to
    be lost, over the next one, as is safe: the node has declined the request, or did not get it.
    """
    while not _has_arrived(channels, lease, deadline):
        pass


def _has_arrived(channels: NodeChannels, lease: bytes, deadline: Deadline) -> bool:
    channel = channels.acquire(deadline)
    try:
        channel.request(Cancel(lease=lease), deadline)
    except BaseException as error:
        channels.discard(channel)
        if isinstance(error, NotDelivered) and channel.reused and not deadline.expired:
            return False
        raise
    channels.release(channel)
    return not channel.finished
