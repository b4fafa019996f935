"""Counts, logs and slows down the peers that do not prove that they hold the secret, within bounds."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from functools import partial
from itertools import takewhile

from ..deadline import now
from ..observing.listeners import emit, listeners
from ..observing.node_events import ProofFailed
from ..protocol.handshake import OnFailure
from .shares import host_of

log = logging.getLogger("fly_orm.node")

#: Seconds for which no second line is logged for the same address.
INTERVAL = 60.0
#: The most addresses that are remembered, so that strangers with many of them cost no more memory.
MAX_ADDRESSES = 1000
#: Seconds after which the first failure of an address is answered. Each further one within the interval doubles them,
#: up to the longest delay: less than a caller waits for a channel, so that its error says what is wrong.
DELAY, LONGEST_DELAY = 0.05, 1.0


@dataclass(kw_only=True)
class _Failures:
    """The failures of one address within an interval."""

    logged_at: float
    """When they were last logged, on the monotonic clock."""
    count: int = 0
    unlogged: int = 0


class FailedProofs:
    """What a node knows of failed handshakes: one warning per address and minute. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_address: dict[str, _Failures] = {}
        """The address that was logged first is the first."""
        self._total = 0

    @property
    def total(self) -> int:
        """How many handshakes have failed since the node started."""
        return self._total

    def reactions(self, peer: str) -> OnFailure:
        """What to do if a handshake fails. ``peer`` is the transport's description of the peer, such as its address."""
        return OnFailure(
            wrong_secret=partial(self._wrong_secret, peer), wrong_version=partial(self._wrong_version, peer)
        )

    def _wrong_secret(self, peer: str) -> float:
        """Log that a peer has none of the secrets, and return the seconds after which it is to be told so."""
        failures, is_due = self._count(peer)
        if listeners.proof_failed:
            emit(ProofFailed(peer=peer, because="secret"))
        if is_due:
            log.warning(
                "%s does not hold the FLY_ORM_SECRET of this node, and was turned away. If it is one of your "
                "processes, set the same secret on both. (This is logged once a minute for each address.)",
                peer,
                extra={"event": "proof_failed", "peer": peer},
            )
        return float(min(DELAY * 2.0 ** min(failures - 1, 30), LONGEST_DELAY))

    def _wrong_version(self, peer: str, version: int) -> None:
        """Log that a peer speaks another version of the protocol."""
        _, is_due = self._count(peer)
        if listeners.proof_failed:
            emit(ProofFailed(peer=peer, because="version"))
        if is_due:
            log.warning(
                "%s speaks version %d of fly_orm's protocol, and was turned away. Deploy the same fly_orm on both. "
                "(This is logged once a minute for each address.)",
                peer,
                version,
                extra={"event": "version_unknown", "peer": peer, "version": version},
            )

    def _count(self, peer: str) -> tuple[int, bool]:
        """Count a failure: how many the address has had in its interval, and whether to log this one."""
        address, time = host_of(peer), now()  # each connection has another port
        with self._lock:
            self._total += 1
            over = list(takewhile(lambda entry: entry[1].logged_at <= time - INTERVAL, self._by_address.items()))
            for name, _ in over:
                del self._by_address[name]
            failures = self._by_address.get(address)
            is_due = failures is None and len(self._by_address) < MAX_ADDRESSES
            if is_due:
                failures = self._by_address[address] = _Failures(logged_at=time)
            if failures is None:
                return 1, False
            failures.count += 1
            failures.unlogged += not is_due
            counted = failures.count
        for name, each in over:
            if each.unlogged:
                log.warning(
                    "%s failed %d more handshakes in the minute after the last warning about it",
                    name,
                    each.unlogged,
                    extra={"event": "proofs_failed", "peer": name, "count": each.unlogged},
                )
        return counted, is_due
