"""What a server does while the system gives it no more file descriptors."""

from __future__ import annotations

import logging
import math
import select
import socket
from contextlib import suppress

from fly_orm.concurrency.descriptors import Spare
from fly_orm.deadline import now

log = logging.getLogger(__name__)

#: Seconds for which no second line is logged.
_LOG_INTERVAL = 60.0
_BATCH = 64


def is_waited_for(listener: socket.socket) -> bool:
    """Whether somebody waits to be accepted. Needs no descriptor."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    return bool(poll.poll(0))


class Shortage:
    """Turns peers away when no file descriptor is left, and logs how many. Used by one thread."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._spare = Spare()
        """What is given up for a moment, so that those who wait can be accepted, only to be closed."""
        self._turned_away = 0
        self._logged_at = -math.inf

    def note(self, error: OSError, turned_away: int) -> None:
        """Log that a connection could not be accepted, so that some were closed; once per minute."""
        self._turned_away += turned_away
        if self._logged_at <= now() - _LOG_INTERVAL:
            log.warning(
                "cannot accept all connections at %s: %s. Connections that were closed for that: %d. (This is logged "
                "once a minute; raise the limit, for instance with `ulimit -n`.)",
                self._address,
                error,
                self._turned_away,
                extra={
                    "event": "connections_refused",
                    "address": self._address,
                    "problem": str(error),
                    "count": self._turned_away,
                },
            )
            self._logged_at, self._turned_away = now(), 0

    def turn_away(self, listeners: list[socket.socket]) -> int:
        """Accept and close what waits, so that these peers can go to another node. Returns their number."""
        self.close()
        turned_away = 0
        with suppress(OSError):
            for listener in listeners:
                with suppress(BlockingIOError):
                    while turned_away < _BATCH:
                        listener.accept()[0].close()
                        turned_away += 1
        self._spare.take()
        return turned_away

    def close(self) -> None:
        """Close the spare descriptor."""
        self._spare.give_up()
