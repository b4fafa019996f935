"""What lies between a server of this process and its clients, and how it fails."""

from __future__ import annotations

import enum
import threading
from dataclasses import dataclass, field
from typing import Protocol

from fly_orm.transport import abandon_in_children


class Point(enum.Enum):
    """When the one request that a fault meets is lost, or its sender."""

    BEFORE_REQUEST = enum.auto()
    AFTER_REQUEST = enum.auto()
    BEFORE_REPLY = enum.auto()


@dataclass(frozen=True)
class Fault:
    """A fault that happens once, and whether it has."""

    point: Point
    fired: threading.Event = field(default_factory=threading.Event)


class Closable(Protocol):
    """A channel, as far as the link is concerned."""

    def close(self) -> None:
        """The channel is of no further use."""
        ...


class Link:
    """The way to the server of one name, and back. It fails on demand, as :class:`fly_orm.testing.Wan` does.

    Any thread may call, and what that asks for is in force when it returns.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._rtt = 0.0
        self._cut = False
        self._fault: Fault | None = None
        self._channels: dict[Closable, None] = {}
        abandon_in_children(self)

    @property
    def rtt(self) -> float:
        """Seconds that a round trip takes; a change is for what is sent from now on."""
        return self._rtt

    @rtt.setter
    def rtt(self, seconds: float) -> None:
        if not seconds >= 0:
            raise ValueError(f"rtt must be 0 or more seconds, not {seconds!r}")
        self._rtt = seconds

    def cut(self) -> None:
        """Drop all channels, and what is on its way, and refuse new ones until :meth:`heal`."""
        with self._lock:
            self._cut = True
            channels = list(self._channels)
        for channel in channels:
            channel.close()

    def heal(self) -> None:
        """Work again, without delay; a fault that was ordered and has not happened yet will not."""
        with self._lock:
            self._cut, self._fault, self._rtt = False, None, 0.0

    def cut_before_request(self) -> threading.Event:
        """Lose the next request, and drop its channel: it is not executed, and its sender cannot know that.

        The event is set when this, or one of the other two, has happened. A later order replaces one that has not. The
        next request may be one by which the core opens a channel ahead of its use: send something first.
        """
        return self._order(Point.BEFORE_REQUEST)

    def cut_after_request(self) -> threading.Event:
        """Deliver the next request, and drop its channel a moment later, or when the server has executed it."""
        return self._order(Point.AFTER_REQUEST)

    def cut_before_reply(self) -> threading.Event:
        """Deliver the next request, wait for the server's reply, and drop that and the channel."""
        return self._order(Point.BEFORE_REPLY)

    def _order(self, point: Point) -> threading.Event:
        with self._lock:
            self._fault = Fault(point)
            return self._fault.fired

    def take_fault(self) -> Fault | None:
        """The fault that the request sent now meets, if one was ordered."""
        with self._lock:
            fault, self._fault = self._fault, None
            return fault

    def join(self, channel: Closable) -> bool:
        """Whether a new channel can be opened; it is dropped when the link is cut."""
        with self._lock:
            if not self._cut:
                self._channels[channel] = None
            return not self._cut

    def leave(self, channel: Closable) -> None:
        """The channel is closed."""
        with self._lock:
            self._channels.pop(channel, None)

    def abandon(self) -> None:
        """In this forked process the name has a link of its own, once somebody asks for it."""
        _links.pop(self.name, None)


_links: dict[str, Link] = {}


def link_to(name: str) -> Link:
    """The link to whatever serves this name, now or later; the same one every time."""
    return _links.setdefault(name, Link(name))
