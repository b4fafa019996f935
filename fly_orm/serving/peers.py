"""The processes that have channels to this node."""

from __future__ import annotations

import logging
import threading
from typing import NamedTuple

from ..deadline import now
from ..observing.listeners import emit, listeners
from ..observing.node_events import PeerConnected, PeerGone

log = logging.getLogger("fly_orm.node")


class _Peer(NamedTuple):
    host: str
    region: str
    since: float


class Peers:
    """The channels whose peers have been greeted, and are not gone. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channels: dict[object, _Peer] = {}

    def __len__(self) -> int:
        return len(self._channels)

    def greeted(self, channel: object, host: str, region: str) -> None:
        """Note that a process on a host, in the region that it names, uses a channel. It greets more than once."""
        with self._lock:
            if channel in self._channels:
                return
            is_first = not self._has(host)
            self._channels[channel] = _Peer(host, region, now())
        log.log(
            logging.INFO if is_first else logging.DEBUG,
            "a process on %s, in region %r, opened a channel%s",
            host,
            region,
            ", the first of that machine" if is_first else "",
            extra={"event": "peer_connected", "peer": host, "region": region},
        )
        if listeners.peer_connected:
            emit(PeerConnected(peer=host, region=region))

    def gone(self, channel: object) -> None:
        """Note that a channel was closed, if that is not known."""
        with self._lock:
            peer = self._channels.pop(channel, None)
            is_last = peer is not None and not self._has(peer.host)
        if peer is None:
            return
        seconds = now() - peer.since
        log.log(
            logging.INFO if is_last else logging.DEBUG,
            "a channel of a process on %s, in region %r, is closed%s",
            peer.host,
            peer.region,
            ", the last of that machine" if is_last else "",
            extra={"event": "peer_gone", "peer": peer.host, "region": peer.region, "seconds": seconds},
        )
        if listeners.peer_gone:
            emit(PeerGone(peer=peer.host, region=peer.region, seconds=seconds))

    def _has(self, host: str) -> bool:
        return any(peer.host == host for peer in self._channels.values())
