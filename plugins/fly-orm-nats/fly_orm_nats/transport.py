"""The transport itself: it opens and accepts channels at names."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import suppress

from fly_orm.deadline import Deadline
from fly_orm.errors import ConfigurationError, NotDelivered
from fly_orm.home import default_home
from fly_orm.settings import Settings
from fly_orm.transport import Accept

from .asking import ask_for_channel
from .caller import CallerEnd, NatsChannel
from .connection import Unreachable
from .link import Link, LinkDown
from .links import Links
from .options import Options
from .server import NatsServer
from .subjects import Address, parse_address, region_address

#: A link may be lost between being had and being used: so many are tried.
_MAX_LINKS = 3


class NatsTransport:
    """Channels through NATS. An address is ``nats:NAME``, which all nodes of a region share. Any thread may call.

    ``options`` say how to reach NATS; by default the environment does. The connection to it is made when it is first
    needed, and closed when it has not been for a few seconds.
    """

    def __init__(self, options: Options | None = None) -> None:
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
        server = NatsServer(_served(listen), accept, self._links.get)
        server.start()
        return server

    def is_local(self, address: str) -> bool:
        """False: who may connect to NATS cannot be told from here, wherever it runs."""
        return False


def _open(link: Link, address: Address, deadline: Deadline) -> CallerEnd:
    opening = link.run(_ask(link, address, deadline))
    try:
        return opening.result()
    except BaseException:
        if not opening.cancel():
            opening.add_done_callback(_discard)
        raise


async def _ask(link: Link, address: Address, deadline: Deadline) -> CallerEnd:
    if link.ended:
        raise LinkDown(link.why)
    return await ask_for_channel(link, address, deadline)


def _discard(opening: Future[CallerEnd]) -> None:
    """An end that was opened for a caller who has been interrupted is closed."""
    with suppress(BaseException):
        opening.result(0).close("its caller was interrupted")


def _served(listen: str) -> Address:
    """The address to serve. Unless FLY_ORM_LISTEN was set, it is that of the process's own region."""
    if listen == Settings().listen:
        settings = default_home().settings
        return region_address(settings.app, settings.topology.region)
    address = parse_address(listen)
    if address.id:
        raise ConfigurationError(f"{listen!r} names one process: serve {f'nats:{address.name}'!r}", address=listen)
    return address
