"""What a node says of the requests that it declines."""

from __future__ import annotations

import logging

from ..observing.listeners import emit, listeners
from ..observing.node_events import PeerRefused
from ..observing.rarely import Rarely, again
from ..observing.requests import KINDS
from ..protocol import reasons
from ..protocol.messages import Declined, Request

log = logging.getLogger("fly_orm.node")

#: What happened to a request that was being executed, and of which its caller hears; it was not declined.
_BROKEN = frozenset({reasons.LOST, reasons.UNKNOWN})


class Refusals:
    """Logs and tells observers of the requests that a node declines, each reason once a minute for a peer."""

    def __init__(self) -> None:
        self._rarely = Rarely()

    def note(self, peer: str, request: Request | None, reply: Declined) -> None:
        """Note that the reply to a peer's request declines it; None stands for one that could not be decoded."""
        if reply.reason in _BROKEN:
            return
        kind = KINDS.get(type(request), "other")
        count = self._rarely.since_last((peer, reply.reason))
        if count is not None:
            log.warning(
                "declined a request (%s) of a process on %s: %s%s",
                kind,
                peer,
                reply.message,
                again(count),
                extra={"event": "peer_refused", "peer": peer, "kind": kind, "reason": reply.reason, "count": count},
            )
        if listeners.peer_refused:
            emit(PeerRefused(peer=peer, kind=kind, reason=reply.reason, why=reply.message))
