"""The caller's side of a statement whose data travels in pieces: a COPY, or one with a long result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from ..deadline import Deadline
from ..errors import FlyOrmError, NotDelivered, OutcomeUnknown, Refused, TransactionLost
from ..protocol.messages import Copy, Copying, Done, Run
from ..topology import Node
from .response import done, lost
from .sealed_channel import SealedChannel
from .settled import problem


class CopyData(Protocol):
    """The data of a COPY, or a result: what the caller has to send, or where it puts what it gets."""

    is_input: bool
    """Whether it is that of COPY … FROM STDIN."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """What the first request says about the data, with the first piece of the input, or all of it."""
        ...

    def go_on(self, copying: Copying) -> Copy:
        """Take the piece of a reply, and return the next request."""
        ...

    def deadline(self, copy: Copy) -> Deadline:
        """When such a request has to be answered."""
        ...


def exchange(channel: SealedChannel, run: Run, deadline: Deadline, data: CopyData) -> Done:
    """Send the first request of a statement, and those that go on with it, and return the last reply.

    Of a COPY with input, the node commits nothing before it has all of that. If it does not get it, the error is
    TransactionLost, and once a piece was taken, no other node can be tried: the source cannot be read again.
    """
    try:
        reply = _reply(channel, run, deadline)
    except OutcomeUnknown as error:
        if run.copy_in_begins is None:
            raise
        raise _lost(channel.node, error) from error
    while isinstance(piece := reply, Copying):
        copy = msgspec.structs.replace(data.go_on(piece), lease=run.lease)
        deadline = data.deadline(copy)
        try:
            reply = _reply(channel, copy, deadline)
        except OutcomeUnknown as error:
            if not data.is_input or copy.last:
                raise
            raise _lost(channel.node, error) from error
        except (NotDelivered, Refused, TransactionLost) as error:
            if data.is_input:
                raise _lost(channel.node, error) from error
            if piece.uncommitted:
                raise lost(channel.node, error) from error
            message = f"the statement on {channel.node} may have been executed before it was lost: {error}"
            raise OutcomeUnknown(message, node=str(channel.node)) from error
    return piece


def _reply(channel: SealedChannel, request: Run | Copy, deadline: Deadline) -> Copying | Done:
    reply = channel.request(request, deadline)
    return reply if isinstance(reply, Copying) else done(reply, channel.node)


def _lost(node: Node, cause: FlyOrmError) -> TransactionLost:
    message = f"the COPY on {node} was lost before it had all of its input, and nothing of it was committed"
    return TransactionLost(f"{message}: {problem(cause)}", node=str(node))
