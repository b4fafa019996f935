"""The transport itself: it opens and accepts channels at names."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from functools import partial

from fly_orm.errors import ConfigurationError, NotDelivered
from fly_orm.settings import Settings
from fly_orm.transport import Accept, Deadline, parse_options

from .asking import ask_for_channel
from .caller import CallerEnd, NatsChannel
from .connection import Unreachable
from .limits import Limits
from .link import Link, LinkDown
from .links import Links
from .options import Options
from .server import NatsServer
from .subjects import Address, parse_address, region_address

#: A link may be lost between being had and being used: so many are tried.
_MAX_LINKS = 3
#: The link's thread sees to deadlines, unless it is held up for longer than this.
_SLACK = 0.2


class NatsTransport:
    """Channels through NATS. An address is ``nats:NAME``, which all nodes of a region share. Any thread may call.

    ``options`` say how to reach NATS; by default the environment does. See :class:`.limits.Limits` for the transport
    options. The connection to NATS is opened when it is first needed, and closed after a few seconds without use.
    """

    def __init__(self, settings: Settings | None = None, *, options: Options | None = None) -> None:
        self._settings = settings or Settings()
        self._limits = parse_options(Limits, self._settings.transport_options)
        self._links = Links(options or Options.from_environment())

    def connect(self, address: str, deadline: Deadline) -> NatsChannel:
        """See :meth:`fly_orm.transport.Transport.connect`."""
        parsed = parse_address(address)
        problem = f"no time was left of {deadline}"
        for _ in range(_MAX_LINKS):
            if deadline.expired:
                break
            try:
                link = self._links.get(deadline)
                return NatsChannel(link, _open(link, parsed, deadline), str(parsed))
            except LinkDown as error:
                problem = str(error)
            except Unreachable as error:
                raise NotDelivered(f"cannot connect to {parsed}: {error}", address=str(parsed)) from error
        raise NotDelivered(f"cannot connect to {parsed}: {problem}", address=str(parsed))

    def serve(self, listen: str, accept: Accept) -> NatsServer:
        """See :meth:`fly_orm.transport.Transport.serve`. Several processes may serve a name, and share its channels."""
        server = NatsServer(_served(listen, self._settings), accept, self._links.get, self._limits)
        server.start()
        return server

    def is_local(self, address: str) -> bool:
        """False: who may connect to NATS cannot be told from here, wherever it runs."""
        return False


def _open(link: Link, address: Address, deadline: Deadline) -> CallerEnd:
    opening = link.run(ask_for_channel, address, deadline)
    remaining = deadline.remaining()
    try:
        return opening.result(None if remaining is None else min(remaining + _SLACK, threading.TIMEOUT_MAX))
    except BaseException as error:
        if not opening.cancel():
            opening.add_done_callback(partial(_discard, link))
        if not isinstance(error, FutureTimeout):
            raise
        problem = f"cannot connect to {address} within {deadline}: NATS takes nothing at the moment"
        raise NotDelivered(problem, address=str(address)) from None


def _discard(link: Link, opening: Future[CallerEnd]) -> None:
    """An end that was opened after all, for a caller who has left, is closed."""
    if not opening.cancelled() and opening.exception() is None:
        with suppress(LinkDown):
            link.post(opening.result().close, "its caller has left")


def _served(listen: str, settings: Settings) -> Address:
    """The address to serve at: that of the process's own region if ``listen`` is the default of the core."""
    if listen == Settings.listen:
        return region_address(settings.app, settings.topology.region)
    address = parse_address(listen)
    if address.id:
        raise ConfigurationError(f"{listen!r} names one process: serve {f'nats:{address.name}'!r}", address=listen)
    return address
