"""Logs the peers that did not prove that they hold the secret, without letting strangers fill the log."""

from __future__ import annotations

import logging
import threading

from ..deadline import now

log = logging.getLogger("fly_orm")

#: Seconds for which no second line is logged for the same address.
INTERVAL = 60.0
#: The most addresses that are remembered, so that strangers with many of them cost no more memory.
MAX_ADDRESSES = 1000


class FailedProofs:
    """Logs a warning for each failed handshake, once per address and minute. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._logged: dict[str, float] = {}
        """When the last line for an address was logged, on the monotonic clock; the oldest is the first."""

    def note(self, peer: str) -> None:
        """Log that a peer left without a proof. ``peer`` is the transport's description of it, such as its address."""
        if self._is_due(peer.rpartition(":")[0] or peer):  # each connection has another port
            log.warning(
                "%s disconnected without proving that it holds the FLY_ORM_SECRET of this node. If it is one of your "
                "processes, set the same secret on both. (This is logged once a minute for each address.)",
                peer,
            )

    def _is_due(self, address: str) -> bool:
        time = now()
        with self._lock:
            for old in [each for each, logged in self._logged.items() if logged <= time - INTERVAL]:
                del self._logged[old]
            if address in self._logged or len(self._logged) >= MAX_ADDRESSES:
                return False
            self._logged[address] = time
            return True
