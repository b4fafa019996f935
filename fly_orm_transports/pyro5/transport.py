"""The transport itself: opens and accepts channels at TCP addresses."""

from __future__ import annotations

from fly_orm.errors import ConfigurationError
from fly_orm.settings import Settings
from fly_orm.transport import Accept, Deadline, parse_options

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
        parsed = parse_address(listen)
        try:
            listeners = listen_at(parsed)
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen at {listen!r}: {error}; choose a free port and an address of this machine"
                " ('[::]:port' and '0.0.0.0:port' mean all of its addresses)",
                address=listen,
            ) from error
        return Pyro5Server(parsed.host, listeners, accept, self._options, self._tls)

    def is_local(self, address: str) -> bool:
        """See :meth:`fly_orm.transport.Transport.is_local`. False unless the address can only be a loopback address."""
        return is_loopback(address)
