"""The transport itself: opens and accepts channels at names."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress

from fly_orm.errors import ConfigurationError, NotDelivered
from fly_orm.settings import Settings
from fly_orm.transport import Accept, Deadline, Turns, parse_options

from .channel import NatsChannel
from .connect_options import ConnectOptions
from .connection import ConnectionLost, NatsConnection
from .connector import Unreachable
from .job import NotInTime
from .limits import Limits
from .opening import open_channel
from .server import NatsServer
from .shared_connection import SharedConnection
from .subjects import Address, parse_address, region_address

#: Connections to try, since one may be lost just before it is used.
_MAX_CONNECTIONS = 3
#: The connection's thread keeps deadlines; seconds to wait for it beyond one, in case it is held up.
_SLACK = 0.2


class NatsTransport:
    """Channels through NATS. An address is ``nats:NAME``, which all nodes of a region share. Any thread may call.

    ``options`` say how to reach NATS; by default the environment does. See :class:`.limits.Limits` for the transport
    options. The connection to NATS is opened when it is first needed, and closed after a few seconds without use.
    """

    def __init__(self, settings: Settings | None = None, *, options: ConnectOptions | None = None) -> None:
        self._settings = settings or Settings()
        self._limits = parse_options(Limits, self._settings.transport_options)
        self._shared = SharedConnection(options or ConnectOptions.from_environment())

    def connect(self, address: str, deadline: Deadline) -> NatsChannel:
        """See :meth:`fly_orm.transport.Transport.connect`."""
        parsed = parse_address(address)
        problem = f"no time was left of {deadline}"
        for _ in range(_MAX_CONNECTIONS):
            if deadline.expired:
                break
            try:
                connection = self._shared.get(deadline)
                return _open(connection, parsed, deadline)
            except ConnectionLost as error:
                problem = str(error)
            except Unreachable as error:
                raise NotDelivered(f"cannot connect to {parsed}: {error}", address=str(parsed)) from error
        raise NotDelivered(f"cannot connect to {parsed}: {problem}", address=str(parsed))

    def serve(self, listen: str, accept: Accept) -> NatsServer:
        """See :meth:`fly_orm.transport.Transport.serve`. Several processes may serve one name, and share its channels.

        The default of ``Settings.listen`` stands for the name of the process's own region.
        """
        server = NatsServer(_served(listen, self._settings), accept, self._shared.get, self._limits)
        server.start()
        return server

    def bind(self, listen: str) -> tuple[()]:
        """No sockets: each process that serves a name subscribes to it, and NATS spreads the channels.

        See :meth:`fly_orm.transport.Sharing.bind`.
        """
        _served(listen, self._settings)
        return ()

    def serve_bound(self, listen: str, sockets: Sequence[socket.socket], accept: Accept, turns: Turns) -> NatsServer:
        """As :meth:`serve`."""
        return self.serve(listen, accept)

    def is_local(self, address: str) -> bool:
        """False: wherever NATS runs, the transport cannot tell who may connect to it."""
        return False


def _open(connection: NatsConnection, address: Address, deadline: Deadline) -> NatsChannel:
    opening = connection.job(open_channel, address, deadline)
    try:
        end = opening.result(Deadline(deadline.at + _SLACK, deadline.timeout))
        return NatsChannel(connection, end, str(address))
    except BaseException as error:
        with suppress(ConnectionLost):
            opening.cancel(lambda end: end.close("its caller has given up"))
        if not isinstance(error, NotInTime):
            raise
        problem = f"cannot connect to {address} within {deadline}: the connection to NATS is stuck"
        raise NotDelivered(problem, address=str(address)) from None


def _served(listen: str, settings: Settings) -> Address:
    if listen == Settings.listen:
        return region_address(settings.app, settings.topology.region)
    address = parse_address(listen)
    if address.id:
        raise ConfigurationError(f"{listen!r} names one process: serve {f'nats:{address.name}'!r}", address=listen)
    return address
