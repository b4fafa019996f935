"""An address that another process of the same application serves at already."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable, Sequence

from ..concurrency.latch import Latch
from ..concurrency.threads import start_thread
from ..deadline import Deadline
from ..errors import AuthenticationFailed, ConfigurationError, FlyOrmError, NoChannel, NotDelivered
from ..forwarding.sealed_channel import open_channel
from ..settings import Settings
from ..topology import Node
from ..transport import Accept, Server, Transport

log = logging.getLogger("fly_orm.node")

#: Seconds in which whatever serves at the address has to show that it belongs to this application. A sibling on a busy
#: machine may need some, and a worker that gave it up would not start.
ANSWER_TIMEOUT = 10.0
#: Seconds between two attempts to listen at an address that is taken.
INTERVAL = 1.0
#: How often, and after how many seconds, an address is tried at which nobody answers properly.
_ATTEMPTS, _PAUSE = 5, 0.1


def listen(
    transport: Transport, address: str, accept: Accept, settings: Settings, databases: Sequence[str]
) -> Server | None:
    """A server at the address; None if another process serves these databases there, for the same region.

    ConfigurationError if it cannot listen there for another reason, such as that another program has the port.
    """
    deadline = Deadline.after(ANSWER_TIMEOUT)
    for attempt in range(_ATTEMPTS):
        try:
            return transport.serve(address, accept)
        except ConfigurationError as error:
            if not _is_taken(error):
                raise
            try:
                _check_sibling(transport, address, settings, databases, deadline)
                return None
            except NotDelivered as problem:  # it may have just stopped, or be about to listen
                if deadline.expired or attempt == _ATTEMPTS - 1:
                    raise ConfigurationError(
                        f"{error}. What listens there is not a node of this application: {problem}", address=address
                    ) from error
        Latch().wait(_PAUSE)
    return None  # not reached: the last attempt returns or raises


def _is_taken(error: ConfigurationError) -> bool:
    """Whether the address is one of this machine, and in use; transports raise from the system's error."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE


def _check_sibling(
    transport: Transport, address: str, settings: Settings, databases: Sequence[str], deadline: Deadline
) -> None:
    """Raise ConfigurationError if a node at the address does not do what this one is to do; NotDelivered if none is."""
    region = settings.topology.region
    node = Node(region=region, address=address)
    try:
        channel = open_channel(transport, node, secrets=settings.secrets, region=region, deadline=deadline)
    except NoChannel:  # it holds the secret
        return
    except AuthenticationFailed as error:
        raise ConfigurationError(
            f"a node with another FLY_ORM_SECRET serves at {address} already; choose another FLY_ORM_LISTEN",
            address=address,
        ) from error
    channel.close()
    there = channel.welcome
    if there.region != region or not set(databases) <= set(there.databases):
        raise ConfigurationError(
            f"a node of region {there.region!r} with the databases {', '.join(there.databases)} serves at {address} "
            f"already, and this one is to serve {', '.join(databases)} in {region!r}; choose another FLY_ORM_LISTEN",
            address=address,
        )


class Successor:
    """A server that begins to listen once the process that does so at present has stopped. Thread-safe.

    ``listen`` makes the server that it then becomes, and raises ConfigurationError before that. Whatever keeps it from
    listening, such as a missing descriptor, is logged once, and it tries again.
    """

    def __init__(self, address: str, listen: Callable[[], Server], on_listening: Callable[[], None]) -> None:
        self._address = address
        self._listen = listen
        self._on_listening = on_listening
        self._closing = Latch()
        self._lock = threading.Lock()
        self._server: Server | None = None
        self._has_warned = False
        log.info(
            "another process of this application serves at %s; this one will when that one has stopped",
            address,
            extra={"event": "standing_by", "address": address},
        )
        start_thread(self._run, "fly_orm successor")

    @property
    def address(self) -> str:
        """The address that it listens at, or is going to."""
        return self._address

    def close(self, drain_timeout: float | None) -> None:
        """See :meth:`fly_orm.transport.Server.close`."""
        self._closing.set()
        with self._lock:
            server = self._server
        if server is not None:
            server.close(drain_timeout)

    def _run(self) -> None:
        while not self._closing.wait(INTERVAL):
            if self._has_listened():
                self._on_listening()
                return

    def _has_listened(self) -> bool:
        with self._lock:
            if self._closing.is_set():
                return False
            try:
                self._server = self._listen()
            except (FlyOrmError, OSError, RuntimeError) as error:  # transports are plug-ins, and raise what they like
                self._note(error)
                return False
        return True

    def _note(self, error: Exception) -> None:
        """Log why it does not listen, unless that is because the address is still taken."""
        if self._has_warned or (isinstance(error, ConfigurationError) and _is_taken(error)):
            return
        self._has_warned = True
        log.warning(
            "cannot take over %s yet: %s. It is tried again every %g s",
            self._address,
            error,
            INTERVAL,
            extra={"event": "takeover_failed", "address": self._address, "problem": str(error)},
        )
