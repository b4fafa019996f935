"""The processes at the other ends of channels, and whether they are still there."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Protocol

from .frames import Frame, Kind, closed_by

if TYPE_CHECKING:
    from .link import Link

#: How often two processes with channels between them say that they are there, in seconds. NATS answers at once that a
#: process has gone whose connection has ended, so that one that was killed is noticed this soon.
HEARTBEAT_INTERVAL = 1.0
#: Who has not been heard for so many seconds is given up: it hangs, or a network has been cut. Some beats long, since
#: a process that is short of CPU for a second or two is not dead, and its transactions are worth keeping.
SILENCE_TIMEOUT = 5.0


class End(Protocol):
    """One end of a channel."""

    def take(self, frame: Frame) -> None:
        """A frame has come for it."""
        ...

    def undelivered(self, seq: int) -> None:
        """A part of this request has reached nobody."""
        ...

    def lost(self, why: str) -> None:
        """There is no other end any more."""
        ...


class _Peer:
    def __init__(self) -> None:
        self.heard = monotonic()
        self.ends: dict[tuple[bool, bytes], End] = {}


class Peers:
    """The ends of channels at this process, by the process at the other end. For the link's thread only."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._peers: dict[str, _Peer] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def attach(self, peer: str, at_node: bool, channel: bytes, end: End) -> None:
        """Frames for a channel are passed to this end, which is the node's or the caller's."""
        self._peers.setdefault(peer, _Peer()).ends[at_node, channel] = end

    def detach(self, peer: str, at_node: bool, channel: bytes) -> None:
        """The channel is over. A peer without channels is not listened for."""
        known = self._peers.get(peer)
        if known is not None:
            known.ends.pop((at_node, channel), None)
            if not known.ends:
                del self._peers[peer]

    def end(self, peer: str, at_node: bool, channel: bytes) -> End | None:
        """The end of a channel, if it is known."""
        known = self._peers.get(peer)
        return None if known is None else known.ends.get((at_node, channel))

    def hear(self, peer: str, at_node: bool, channel: bytes) -> End | None:
        """The same, for a frame that shows that the peer is there."""
        known = self._peers.get(peer)
        if known is None:
            return None
        known.heard = monotonic()
        return known.ends.get((at_node, channel))

    def beat(self, *, judge: bool) -> None:
        """Say to all peers that this process is there, and if so asked give up who was silent for too long."""
        for peer, known in list(self._peers.items()):
            if not judge:
                known.heard = monotonic()
            elif monotonic() - known.heard > SILENCE_TIMEOUT:
                self.lose(peer, f"the other process was not heard for {SILENCE_TIMEOUT:g} s")
                continue
            self._link.tell(peer, Frame(Kind.ALIVE))

    def lose(self, peer: str, why: str) -> None:
        """All channels to a peer are over. It is told, as it may only have hung, and would go on with them."""
        known = self._peers.pop(peer, None)
        for (at_node, channel), end in [] if known is None else list(known.ends.items()):
            if not self._link.ended:
                self._link.tell(peer, Frame(closed_by(at_node), channel))
            end.lost(why)

    def lose_all(self, why: str) -> None:
        for peer in list(self._peers):
            self.lose(peer, why)
