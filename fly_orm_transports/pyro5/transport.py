"""The transport itself: opens and accepts channels at TCP addresses."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from fly_orm.errors import ConfigurationError
from fly_orm.settings import Settings
from fly_orm.transport import Accept, Deadline, Turns, parse_options

from .addresses import is_loopback, parse_address
from .client import Pyro5Channel, open_channel
from .options import Pyro5Options
from .server import Pyro5Server
from .sockets import listen as listen_at


class Pyro5Transport:
    """Channels over TCP. An address is ``host:port``, with an IPv6 address in brackets. Any thread may call.

    See :class:`.options.Pyro5Options` for the transport options; without settings they have their defaults.
    """

    uses_tls = True

    def __init__(self, settings: Settings | None = None) -> None:
        self._options = parse_options(Pyro5Options, {} if settings is None else settings.transport_options)
        self._tls = None if settings is None else settings.tls()

    def connect(self, address: str, deadline: Deadline) -> Pyro5Channel:
        """See :meth:`fly_orm.transport.Transport.connect`."""
        parsed = parse_address(address)
        if parsed.port == 0:
            raise ConfigurationError(f"cannot connect to port 0 of {address!r}: name the node's port", address=address)
        return open_channel(parsed, deadline, self._tls)

    def serve(self, listen: str, accept: Accept) -> Pyro5Server:
        """See :meth:`fly_orm.transport.Transport.serve`. Port 0 takes any free port."""
        return self._server(listen, self.bind(listen), accept)

    def bind(self, listen: str) -> list[socket.socket]:
        """See :meth:`fly_orm.transport.Sharing.bind`."""
        try:
            return listen_at(parse_address(listen))
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen at {listen!r}: {error}; choose a free port and an address of this machine"
                " ('[::]:port' and '0.0.0.0:port' mean all of its addresses)",
                address=listen,
            ) from error

    def serve_bound(self, listen: str, sockets: Sequence[socket.socket], accept: Accept, turns: Turns) -> Pyro5Server:
        """See :meth:`fly_orm.transport.Sharing.serve_bound`."""
        for each in sockets:
            each.setblocking(False)
        return self._server(listen, sockets, accept, turns)

    def _server(
        self, listen: str, sockets: Sequence[socket.socket], accept: Accept, turns: Turns | None = None
    ) -> Pyro5Server:
        try:
            return Pyro5Server(parse_address(listen).host, list(sockets), accept, self._options, self._tls, turns)
        except (OSError, RuntimeError) as error:
            for each in sockets:
                each.close()
            raise ConfigurationError(f"cannot serve at {listen!r} now: {error}", address=listen) from error

    def is_local(self, address: str) -> bool:
        """See :meth:`fly_orm.transport.Transport.is_local`. False unless the address can only be a loopback address."""
        return is_loopback(address)
