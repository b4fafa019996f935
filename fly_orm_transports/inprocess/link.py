"""The simulated network between a server of this process and its clients, and its faults."""

from __future__ import annotations

import enum
import threading
from dataclasses import dataclass, field
from typing import Protocol

from fly_orm.transport import abandon_in_children


class Point(enum.Enum):
    """The moment at which a fault drops the channel of a request."""

    BEFORE_REQUEST = enum.auto()
    AFTER_REQUEST = enum.auto()
    BEFORE_REPLY = enum.auto()


@dataclass(frozen=True)
class Fault:
    """A fault that happens to one request, and whether it has happened."""

    point: Point
    fired: threading.Event = field(default_factory=threading.Event)


class Closable(Protocol):
    """A channel, as far as the link is concerned."""

    def close(self) -> None:
        """Close the channel."""
        ...


class Link:
    """The network path to the server of one name. It fails on demand, as :class:`fly_orm.testing.Wan` does.

    Any thread may call, and a change is in force when the call returns.
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
        """Seconds that a round trip takes, 0 or more; a change applies to what is sent from now on."""
        return self._rtt

    @rtt.setter
    def rtt(self, seconds: float) -> None:
        if not seconds >= 0:
            raise ValueError(f"rtt must be 0 or more seconds, not {seconds!r}")
        self._rtt = seconds

    def cut(self) -> None:
        """Drop all channels with what is on its way, and refuse new ones until :meth:`heal` is called."""
        with self._lock:
            self._cut = True
            channels = list(self._channels)
        for channel in channels:
            channel.close()

    def heal(self) -> None:
        """Work again, without delay. A fault that was planned and has not happened yet is cancelled."""
        with self._lock:
            self._cut, self._fault, self._rtt = False, None, 0.0

    def cut_before_request(self) -> threading.Event:
        """Lose the next request and drop its channel: it is not executed, which its sender cannot know.

        The event is set once the fault has happened. Planning another fault replaces one that has not happened yet. The
        next request may be one by which the core opens a channel in advance, so send something first.
        """
        return self._plan(Point.BEFORE_REQUEST)

    def cut_after_request(self) -> threading.Event:
        """Deliver the next request, and drop its channel 0.1 s later, or as soon as the server has executed it."""
        return self._plan(Point.AFTER_REQUEST)

    def cut_before_reply(self) -> threading.Event:
        """Deliver the next request, wait for the server's reply, and drop the reply and the channel."""
        return self._plan(Point.BEFORE_REPLY)

    def _plan(self, point: Point) -> threading.Event:
        with self._lock:
            self._fault = Fault(point)
            return self._fault.fired

    def take_fault(self) -> Fault | None:
        """The fault planned for the request that is sent now, if any."""
        with self._lock:
            fault, self._fault = self._fault, None
            return fault

    def attach(self, channel: Closable) -> bool:
        """Whether a new channel can be opened; if so, it is dropped when the link is cut."""
        with self._lock:
            if not self._cut:
                self._channels[channel] = None
            return not self._cut

    def detach(self, channel: Closable) -> None:
        """Forget a channel that was closed."""
        with self._lock:
            self._channels.pop(channel, None)

    def abandon(self) -> None:
        """Let this forked process make a link of its own to the name, once it asks for it."""
        _links.pop(self.name, None)


_links: dict[str, Link] = {}


def link_to(name: str) -> Link:
    """The link to whatever serves this name, now or later. It is the same one every time."""
    return _links.setdefault(name, Link(name))
