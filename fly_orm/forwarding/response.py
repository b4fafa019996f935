"""A node's response to a request, and what it means if the node declined."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from ..deadline import SETTLING_TIME
from ..errors import AlreadyCommitted, FlyOrmError, NotPrimary, OutcomeUnknown, Refused, ResultLost, TransactionLost
from ..protocol import reasons
from ..protocol.messages import Declined, Done, Reply
from ..topology import Node
from .settled import problem

R = TypeVar("R")


class Response(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """A reply, and where it came from."""

    reply: R
    node: Node
    elapsed: float
    """Seconds between sending the request and receiving the reply."""
    settled: bool = False
    """Whether the reply was lost, and this is what could be found out of it."""


def refused(declined: Declined, node: Node) -> Refused:
    """The exception for a request that a node declined before executing anything."""
    if declined.reason == reasons.NOT_PRIMARY:
        return NotPrimary(f"{node}: {declined.message}", node=str(node), superseded=declined.superseded)
    return Refused(f"{node}: {declined.message}", node=str(node), reason=declined.reason)


def done(reply: Reply, node: Node) -> Done:
    """The reply if the request was executed; raises the exception for its outcome if not."""
    if isinstance(reply, Done):
        return reply
    if not isinstance(reply, Declined):
        raise OutcomeUnknown(f"{node} replied with an unexpected {type(reply).__name__}", node=str(node))
    match reply.reason:
        case reasons.UNKNOWN:
            raise OutcomeUnknown(
                f"{node} lost its connection to the primary while it executed: {reply.message}",
                node=str(node),
                settled_after=SETTLING_TIME if reply.ended else None,
            )
        case reasons.LOST:
            raise lost(node, reply.message)
        case reasons.COMMITTED_BEFORE:
            raise AlreadyCommitted(
                f"a transaction with this operation key was committed before, as {node} says, and this one was rolled "
                "back. The work is done; do not repeat it",
                node=str(node),
            )
        case reasons.RESULT_LOST:
            raise ResultLost(f"{node}: {reply.message}", node=str(node))
        case _:
            raise refused(reply, node)


def lost(node: Node, cause: FlyOrmError | str) -> TransactionLost:
    """The exception for a lease that is gone, with the transaction in it."""
    why = cause if isinstance(cause, str) else problem(cause)
    message = f"the transaction on {node} was lost, and nothing of it was committed: {why}"
    return TransactionLost(message, node=str(node))
