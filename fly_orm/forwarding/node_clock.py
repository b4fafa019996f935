"""What a caller knows of the clock of a node."""

from __future__ import annotations

import math

#: By how much one clock may run faster or slower than another. Each is slewed by at most 500 ppm (adjtimex(8)).
DRIFT = 1e-3
#: Seconds after which a reading should be renewed before it is relied on: its bounds have drifted apart by then.
MAX_AGE = 300.0
#: Seconds by which a reply may be late, beyond a round trip, before the clock is read again for closer bounds.
MAX_DELAY = 0.5


class NodeClock:
    """How far the clock of a node is ahead of the caller's own, within bounds. One thread at a time.

    The node states its clock in each reply. It read the clock between the caller's sending of the request and the
    arrival of the reply, which gives both bounds. Neither clock has to show the time of day.
    """

    def __init__(self) -> None:
        self._least, self._most = -math.inf, math.inf
        """The bounds of the difference (seconds)."""
        self._read_at = self._answered_at = 0.0
        self.round_trip = math.inf
        """At most the seconds that a message takes there and back: the shortest exchange, in case others were held up.

        It grows with its age, by as much as the bounds drift apart, since the network may have become slower.
        """

    def note(self, clock: float | None, *, asked: float, answered: float) -> None:
        """Note the clock in a reply, and when the caller sent the request and received the reply by its own clock."""
        self.round_trip = min(self.round_trip + DRIFT * (answered - self._answered_at), answered - asked)
        self._answered_at = answered
        if clock is None:
            return
        drift = DRIFT * (answered - self._read_at)
        new = clock - answered, clock - asked
        least, most = max(self._least - drift, new[0]), min(self._most + drift, new[1])
        # Bounds that contradict each other mean that one of the two machines was suspended: only the new ones hold.
        self._least, self._most = (least, most) if least <= most else new
        self._read_at = answered

    def earliest(self, instant: float) -> float | None:
        """The least that the node's clock may show at an instant by the caller's; None if that is not known."""
        if self._least == -math.inf or instant == math.inf:
            return None
        return instant + self._least - DRIFT * max(0.0, instant - self._read_at)

    def is_old(self, instant: float) -> bool:
        """Whether the clock was known, but was read so long before this instant that the bounds are wide."""
        return self._least != -math.inf and instant - self._read_at > MAX_AGE

    @property
    def is_vague(self) -> bool:
        """Whether the clock is known, but only from replies that were held up, so that the bounds are wide."""
        return 2 * self.round_trip + MAX_DELAY < self._most - self._least < math.inf
