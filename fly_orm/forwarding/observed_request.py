"""Requests to nodes that somebody observes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from ..deadline import Deadline, now
from ..observing.event import ids
from ..observing.events import RequestEnded, RequestStarted
from ..observing.listeners import context_of, emit, listeners
from ..observing.requests import KINDS, subject_of
from ..protocol.messages import Call, Declined, Reply, Request, Run
from ..topology import Node


class Sizes:
    """The sizes of the last request and of its reply, in bytes."""

    __slots__ = ("received", "sent")

    def __init__(self) -> None:
        self.sent = self.received = 0


def observed(
    send: Callable[[Any, Deadline], Reply], message: Request, deadline: Deadline, node: Node, sizes: Sizes
) -> Reply:
    """What ``send`` returns for a message; observers hear of it, and may give it a context to carry."""
    kind = KINDS.get(type(message))
    if kind is None:
        return send(message, deadline)
    about = {"id": next(ids), "kind": kind, "node": str(node), **subject_of(message)}
    if listeners.request_started:
        context = context_of(RequestStarted(**about))
        if context and isinstance(message, Run | Call):
            message = msgspec.structs.replace(message, context=context)
    started, sizes.sent, sizes.received = now(), 0, 0
    reply = error = None
    try:
        reply = send(message, deadline)
        return reply
    except BaseException as raised:
        error = type(raised).__name__
        raise
    finally:
        with suppress(Exception):  # whatever may be wrong with the report, the reply has come
            declined = reply.reason if isinstance(reply, Declined) else None
            seconds, sent, received = now() - started, sizes.sent, sizes.received
            ended = RequestEnded(
                **about, seconds=seconds, sent_bytes=sent, received_bytes=received, declined=declined, error=error
            )
            if listeners.request_ended:
                emit(ended)
