"""The processes at the other ends of channels, and whether they are still there."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Protocol

from .frames import Frame, Kind, closed_by

#: How often two processes with channels between them send each other a heartbeat, in seconds. NATS answers a heartbeat
#: at once if the other process has no connection any more, so a process that was killed is noticed this soon.
HEARTBEAT_INTERVAL = 1.0
#: Seconds after which a peer that sends nothing is given up: it hangs, or the network is cut. This is several
#: heartbeats long, since a process that is short of CPU for a second or two is not dead, and its transactions are worth
#: keeping.
SILENCE_TIMEOUT = 5.0

#: Sends a frame to a process, soon. Does nothing once the connection to NATS has ended.
Send = Callable[[str, Frame], None]


class ChannelEnd(Protocol):
    """One end of a channel: a node's or a caller's."""

    def receive(self, frame: Frame) -> None:
        """Take a frame of the channel."""
        ...

    def request_undelivered(self, seq: int) -> None:
        """A part of this request has reached no process."""
        ...

    def end(self, reason: str) -> None:
        """End the channel without telling the peer."""
        ...


class _Peer:
    def __init__(self) -> None:
        self.last_heard = monotonic()
        self.ends: dict[tuple[bool, bytes], ChannelEnd] = {}


class Peers:
    """The ends of channels at this process, by the process at the other end. For the connection's thread only."""

    def __init__(self, send_soon: Send) -> None:
        self._send_soon = send_soon
        self._peers: dict[str, _Peer] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def attach(self, peer: str, at_node: bool, channel: bytes, end: ChannelEnd) -> None:
        """Pass the frames of a channel to this end, which is the node's or the caller's."""
        self._peers.setdefault(peer, _Peer()).ends[at_node, channel] = end

    def detach(self, peer: str, at_node: bool, channel: bytes) -> None:
        """Forget a channel that has ended. A peer without channels gets no more heartbeats."""
        known = self._peers.get(peer)
        if known is not None:
            known.ends.pop((at_node, channel), None)
            if not known.ends:
                del self._peers[peer]

    def find(self, peer: str, at_node: bool, channel: bytes) -> ChannelEnd | None:
        """The end of a channel, if it is known."""
        known = self._peers.get(peer)
        return None if known is None else known.ends.get((at_node, channel))

    def hear(self, peer: str, at_node: bool, channel: bytes) -> ChannelEnd | None:
        """The end of a channel, for a frame that shows that the peer is there."""
        known = self._peers.get(peer)
        if known is not None:
            known.last_heard = monotonic()
        return self.find(peer, at_node, channel)

    def beat(self, *, judge: bool) -> None:
        """Send all peers a heartbeat. With ``judge``, give up those that were silent for too long instead."""
        for peer, known in list(self._peers.items()):
            if not judge:
                known.last_heard = monotonic()
            elif monotonic() - known.last_heard > SILENCE_TIMEOUT:
                self.lose(peer, f"the other process has sent nothing for {SILENCE_TIMEOUT:g} s")
                continue
            self._send_soon(peer, Frame(Kind.ALIVE))

    def lose(self, peer: str, reason: str) -> None:
        """End all channels to a peer. It is told, since it may only have hung, and would go on using them."""
        known = self._peers.pop(peer, None)
        for (at_node, channel), end in [] if known is None else list(known.ends.items()):
            self._send_soon(peer, Frame(closed_by(at_node), channel))
            end.end(reason)

    def lose_all(self, reason: str) -> None:
        """End all channels."""
        for peer in list(self._peers):
            self.lose(peer, reason)
