"""The transport itself: opens and accepts channels at names."""

from __future__ import annotations

from dataclasses import dataclass

from fly_orm.errors import ConfigurationError, NotDelivered
from fly_orm.settings import Settings
from fly_orm.transport import Accept, Deadline, parse_options

from .channel import InProcessChannel
from .server import InProcessServer, find


@dataclass(frozen=True, kw_only=True)
class InProcessOptions:
    """The options of this transport: there are none."""


class InProcessTransport:
    """Channels within this process. An address is any name; all instances share the names. Any thread may call."""

    def __init__(self, settings: Settings | None = None) -> None:
        parse_options(InProcessOptions, {} if settings is None else settings.transport_options)

    def connect(self, address: str, deadline: Deadline) -> InProcessChannel:
        """See :meth:`fly_orm.transport.Transport.connect`."""
        _check_name(address)
        server = find(address)
        if server is None or deadline.expired:
            problem = "nothing in this process serves it" if server is None else f"no time was left of {deadline}"
            raise NotDelivered(f"cannot connect to {address!r}: {problem}", address=address)
        return server.open()

    def serve(self, listen: str, accept: Accept) -> InProcessServer:
        """See :meth:`fly_orm.transport.Transport.serve`. The name is free again once the server is closed."""
        _check_name(listen)
        server = InProcessServer(listen, accept)
        if not server.claim_name():
            raise ConfigurationError(f"{listen!r} is already being served: close that server, or choose another name")
        return server

    def is_local(self, address: str) -> bool:
        """True: nothing outside this process can connect."""
        return True


def _check_name(name: str) -> None:
    if not name:
        raise ConfigurationError("the address of an in-process server is a name, which must not be empty")
