"""How long a connection stays open after the last message that the server sends over it."""

from __future__ import annotations

from fly_orm.deadline import now
from fly_orm.transport import Deadline

#: The least and the most that it may be (seconds). The least is for peers, and proxies on the way, that lack CPU time.
LEAST_LINGER, MOST_LINGER = 0.5, 2.0
#: The same in round trips. A request that crosses the last message on its way arrives within one.
_ROUND_TRIPS = 2


class Linger:
    """The time in which a request may still arrive that crosses the last message, or that its reader has not seen yet.

    If the socket were closed by then, TCP would answer the request with a reset, which may erase the last message on
    its way, or before the peer has read it (RFC 9112 section 9.6).
    """

    def __init__(self) -> None:
        self.deadline: Deadline | None = None
        """When the connection may be closed; None before the last message."""
        self._sent_at: float | None = None
        self._round_trip = MOST_LINGER

    def note_sending(self) -> None:
        """Note that a message is about to be sent, which the next one that arrives may answer."""
        self._sent_at = now()

    def note_received(self) -> None:
        """Note that a message has arrived. Its peer took part of that time, so the shortest is the closest."""
        if self._sent_at is not None:
            self._round_trip = min(self._round_trip, now() - self._sent_at)

    def begin(self) -> None:
        """Note that the last message has been sent."""
        self.deadline = Deadline.after(min(MOST_LINGER, LEAST_LINGER + _ROUND_TRIPS * self._round_trip))
