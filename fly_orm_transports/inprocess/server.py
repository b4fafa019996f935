"""The accepting side of all channels to one name."""

from __future__ import annotations

import threading

from fly_orm.errors import NotDelivered
from fly_orm.transport import Accept, Deadline, abandon_in_children

from .channel import InProcessChannel
from .link import link_to

_servers: dict[str, InProcessServer] = {}


def find(name: str) -> InProcessServer | None:
    """The server with that name; None if there is none."""
    return _servers.get(name)


class InProcessServer:
    """A name that clients can connect to. See :class:`fly_orm.transport.Server`."""

    def __init__(self, name: str, accept: Accept) -> None:
        self._name = name
        self._accept = accept
        self._link = link_to(name)
        self._lock = threading.Lock()
        self._closed = False
        self._channels: dict[InProcessChannel, None] = {}

    def claim_name(self) -> bool:
        """Whether the name was free; if so, it belongs to this server until it is closed."""
        abandon_in_children(self)
        return _servers.setdefault(self._name, self) is self

    @property
    def address(self) -> str:
        """The name."""
        return self._name

    def open(self) -> InProcessChannel:
        """A new channel; NotDelivered if the server is closed or the link to it is cut."""
        channel = InProcessChannel(self._link, self._accept(f"in-process {self._name}"), self._forget)
        with self._lock:
            self._channels[channel] = None
            problem = "its server is closed" if self._closed else None
        if not self._link.attach(channel):
            problem = "the link is cut"
        if problem:
            channel.close()
            raise NotDelivered(f"cannot connect to {self._name!r}: {problem}", address=self._name)
        return channel

    def _forget(self, channel: InProcessChannel) -> None:
        self._channels.pop(channel, None)

    def close(self, drain_timeout: float) -> None:
        """See :meth:`fly_orm.transport.Server.close`."""
        deadline = Deadline.after(drain_timeout)
        with self._lock:
            self._closed = True
            channels = list(self._channels)
            for channel in channels:
                channel.drain()
        if _servers.get(self._name) is self:
            del _servers[self._name]
        for channel in channels:
            channel.finish(deadline)

    def abandon(self) -> None:
        """Free the name in this forked process, where the server does not serve."""
        self._lock = threading.Lock()
        self._channels = {}
        _servers.pop(self._name, None)
