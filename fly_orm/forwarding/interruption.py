"""How long requests wait for a node, when nodes that have accepted requests accept none any more."""

from __future__ import annotations

import logging
import math
import random
import threading

from ..concurrency.latch import Latch
from ..deadline import Deadline, now

log = logging.getLogger("fly_orm")

#: Seconds for which requests wait, from the first one that no node accepts. After that, they fail at once: the outage
#: is more than a restart, and callers that wait would take up all threads of the application.
PATIENCE = 10.0
#: Seconds before the second attempt of a request. Each later pause is twice as long as the one before…
FIRST_PAUSE = 0.05
#: …up to this. The first request that a node accepts ends the pauses of all.
LONGEST_PAUSE = 0.5
#: With less time (seconds) than this, or than a quarter of its timeout, a request is not tried again: its reply could
#: come too late, and then nobody would know its outcome.
MIN_TIME = 0.5
#: Seconds after an interruption within which another one is not logged.
QUIET_SECONDS = 60.0


class Interruption:
    """Whether requests of one kind are accepted at present. Thread-safe.

    A node that restarts, a primary that restarts and a failover interrupt the service for a short while. As nothing was
    executed, requests wait for the end of that. They do not if none was accepted before: then a setting is wrong, more
    likely than not.
    """

    def __init__(self, wanted: str, known: Latch | None = None) -> None:
        """``wanted`` says in the log what the requests are for.

        ``known`` is set once such a request, or one like it, has been accepted.
        """
        self.over = Latch()
        """Set at the end of the present interruption, and then replaced by another one."""
        self._wanted = wanted
        self._lock = threading.Lock()
        self._known = known or Latch()
        self._loud = False
        self._since: float | None = None
        self._quiet_until = -math.inf

    @property
    def is_on(self) -> bool:
        """Whether no node has accepted a request since the last interruption began, or none ever has."""
        return self._since is not None or not self._known.is_set()

    def accepted(self) -> None:
        """Note that a node has accepted a request. Those that wait go on."""
        if not self.is_on:  # nearly always
            return
        with self._lock:
            self._known.set()
            since, self._since = self._since, None
            over, self.over = self.over, Latch()
            loud, self._loud = self._loud, False
            if loud:
                self._quiet_until = now() + QUIET_SECONDS
        over.set()
        if loud and since is not None:
            log.info(
                "requests for %s are accepted again, after %.1f s",
                self._wanted,
                now() - since,
                extra={"event": "requests_accepted_again", "wanted": self._wanted, "seconds": now() - since},
            )

    def begin(self, why: str) -> float:
        """Note that no node accepts a request. Returns the instant (monotonic) until which requests wait."""
        with self._lock:
            if not self._known.is_set():
                return -math.inf
            begins = self._since is None
            if self._since is None:
                self._since, self._loud = now(), now() >= self._quiet_until
            end, loud = self._since + PATIENCE, self._loud
        if begins and loud:
            log.warning(
                "no node accepts requests for %s; for %g s, requests wait for one, within their timeouts: %s",
                self._wanted,
                PATIENCE,
                why,
                extra={"event": "no_node_accepts", "wanted": self._wanted, "problem": str(why)},
            )
        return end


class Attempts:
    """The attempts of one request to find a node that accepts it. Used by one thread."""

    def __init__(self, interruption: Interruption, deadline: Deadline) -> None:
        self._interruption = interruption
        self._deadline = deadline
        self._over = interruption.over
        self._pause = FIRST_PAUSE

    def wait_for_place(self) -> bool:
        """Wait before another attempt to open a channel to a node that is full; False, at once, if time runs short."""
        return self._wait(self._last_start)

    def wait(self, why: str) -> bool:
        """Wait before another attempt; False, at once, if there is to be none. ``why`` says what the nodes answered."""
        return self._wait(min(self._interruption.begin(why), self._last_start))

    def _wait(self, until: float) -> bool:
        pause = self._pause * random.uniform(0.5, 1.0)  # noqa: S311  # so that callers do not come all at once
        if now() + pause > until:
            return False
        if self._over.wait(pause):
            # Others are accepted. If this request is still not, that is because of something about itself, and another
            # success of theirs says nothing about it.
            self._over = Latch()
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return True

    @property
    def _last_start(self) -> float:
        """The instant (monotonic) after which no attempt is made."""
        timeout = self._deadline.timeout
        return self._deadline.at - (MIN_TIME if timeout is None else min(MIN_TIME, timeout / 4))
