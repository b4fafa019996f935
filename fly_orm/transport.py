"""The interface that carries opaque bytes between nodes, and what its implementations need besides.

Authentication, encoding, sessions and retries belong to the core and work over every transport. A transport never
repeats a request. :class:`fly_orm.testing.TransportContract` tests everything that this module says, and
docs/transports.md shows how to write a transport. Each exchange has one of three outcomes, and telling them apart is a
transport's main duty:

* a reply;
* :class:`~fly_orm.errors.NotDelivered`: the request was certainly not executed, so another node may be tried;
* :class:`~fly_orm.errors.OutcomeUnknown`: it may have been executed.

The entry point (group ``fly_orm.transports``) refers to the factory of the :class:`Transport`, a class or a function.
The core calls it with the :class:`~fly_orm.settings.Settings` of the process if it takes an argument.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from .concurrency.forks import Abandonable, abandon_in_children
from .concurrency.latch import Bell, Latch
from .concurrency.threads import start_thread
from .deadline import Deadline
from .parsing import parse_options

__all__ = [
    "MAX_MESSAGE_BYTES",
    "OVERHEAD_BYTES",
    "STRANGER_MAX_MESSAGE_BYTES",
    "STRANGER_TIMEOUT",
    "Abandonable",
    "Accept",
    "Answer",
    "Bell",
    "Channel",
    "Deadline",
    "Latch",
    "Responder",
    "Server",
    "Sharing",
    "Transport",
    "Turns",
    "abandon_in_children",
    "parse_options",
    "start_thread",
]

#: The most that the core's seal and the transport may add to the size of a message.
OVERHEAD_BYTES = 1024
#: The longest request or reply that a transport carries, with the seal.
MAX_MESSAGE_BYTES = 32 * 1024 * 1024
#: The longest message of a stranger, a peer that has not proven yet that it holds the secret.
STRANGER_MAX_MESSAGE_BYTES = 1024
#: Seconds after which a stranger is disconnected.
STRANGER_TIMEOUT = 5.0


class Channel(Protocol):
    """A connection to one process of a node. One caller at a time uses it, each perhaps on another thread."""

    def exchange(self, request: bytes, deadline: Deadline) -> bytes:
        """The reply to ``request``. Every exchange on a channel reaches the same process.

        After any exception (NotDelivered, OutcomeUnknown, or one that interrupted the caller) the channel is of no
        further use: it delivers nothing, and raises NotDelivered. A late reply must never be taken for the reply to
        another request. The channel is of no use either in a process that was forked after it was opened.

        NotDelivered has to be certain even if a signal handler raises, at any point, an exception such as TimeoutError
        that a connection raises as well.
        """
        ...

    def close(self) -> None:
        """Close the connection, which the peer notices. May be called twice, and never raises.

        When called from another thread, it ends the exchange in progress with OutcomeUnknown. In a process that was
        forked after the channel was opened, it only releases what that process holds: the parent's connection stays
        usable. The same goes for a channel that such a process drops.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What to do about the request of a stranger."""

    reply: bytes | None = None
    """What to reply, or None to send nothing and drop the connection."""
    delay: float = 0.0
    """Seconds after which to reply, so that guessing takes long. Requests of others must not wait for that."""


class Responder(Protocol):
    """The core's end of one accepted channel."""

    @property
    def trusted(self) -> bool:
        """Whether the peer has proven that it holds the secret. Until then, the limits for strangers apply.

        The transport asks when it accepts the channel, and after each reply.
        """
        ...

    def respond(self, request: bytes) -> bytes | None:
        """The reply to send, or None to send nothing and drop the connection. Never raises.

        Called for one request at a time, in the order in which they arrive. Takes as long as the request does, and for
        that of a stranger as long as :attr:`Answer.delay` says.
        """
        ...

    def authenticate(self, request: bytes) -> Answer:
        """The answer to a stranger's request, which is not executed. Never raises, and returns in less than 1 ms.

        If ``trusted`` is true afterwards, the request was the proof. Then disregard the answer, and give the same
        request to ``respond``. A server that calls this needs no thread for a stranger. One that does not may give each
        request of a stranger to ``respond`` at once.
        """
        ...

    @property
    def is_idle(self) -> bool:
        """Whether the peer would lose nothing but time if the channel were closed between two of its requests.

        A server with no place left for another channel may then close this one.
        """
        ...

    def last_reply(self, *, is_full: bool = False) -> bytes | None:
        """A reply which says that the next request is not executed; None if the peer is a stranger.

        A server that is closed sends it ahead of that request, as the last thing on the channel, unless it tells the
        caller in another way. A request that is already on its way is answered with it; otherwise, the caller could not
        know what became of it. With ``is_full``, the reply says that the server has no place for the channel, and not
        that it is being closed. Called instead of ``respond``, and not while that runs. Nothing may be given to
        ``respond`` afterwards.
        """
        ...

    def gone(self) -> None:
        """The peer is gone, or the connection is being closed. Called once, perhaps while ``respond`` runs.

        Returns soon, without waiting for ``respond`` to end.
        """
        ...


#: Makes the responder of a newly accepted channel from a description of the peer, such as its address.
Accept = Callable[[str], Responder]


class Server(Protocol):
    """A listening transport."""

    @property
    def address(self) -> str:
        """The address as it was given, with the port that was actually bound."""
        ...

    def close(self, drain_timeout: float | None) -> None:
        """Stop accepting, let requests in progress finish for up to ``drain_timeout`` seconds, then disconnect.

        Unless that time is over, a request that crosses the end of its channel is NotDelivered, or answered with the
        responder's ``last_reply``. When this returns, every responder's ``gone`` has been called. May be called twice.
        """
        ...


class Transport(Protocol):
    """Opens and accepts channels. Any thread may call.

    Made from the settings: once per process for its requests, and once for each call of :func:`fly_orm.serve`. If a
    transport encrypts its channels whenever ``Settings.tls()`` is not None, its attribute ``uses_tls`` is true. Any
    other transport is refused where TLS is asked for.
    """

    def connect(self, address: str, deadline: Deadline) -> Channel:
        """A channel to the node at ``address``; NotDelivered if none can be opened by the deadline.

        ConfigurationError if the address is malformed.
        """
        ...

    def serve(self, listen: str, accept: Accept) -> Server:
        """Listen at ``listen`` in the background, and give each accepted channel the responder that ``accept`` makes.

        ConfigurationError if the address is malformed, or if the transport cannot listen there.
        """
        ...

    def is_local(self, address: str) -> bool:
        """Whether only processes on this machine can connect to ``address``, so that no secret is required."""
        ...


class Turns(Protocol):
    """Spreads channels over the processes that accept them at the same sockets."""

    def passes(self, *, waited: bool) -> bool:
        """Whether to leave a connection that waits to be accepted to another process.

        If so, ask again after some milliseconds, and say that it has ``waited``. Accept one connection at a time, and
        ask before each. Returns at once, and never raises.
        """
        ...

    def exceeds(self, channels: int) -> bool:
        """Whether a process with so many channels of trusted peers has more than its part.

        If so, it may close one whose responder ``is_idle``, as one does that has no place left. Its peer opens another
        one where there are fewer. Returns at once, and never raises.
        """
        ...


class Sharing(Protocol):
    """What a :class:`Transport` has besides if several processes can serve one address.

    ``fly-orm serve --workers`` needs it, and refuses a transport without it.
    """

    def bind(self, listen: str) -> Sequence[socket.socket]:
        """Sockets that listen at ``listen``, which the process does not use but hands down to others.

        There are none if each process can serve the address by itself; then these call :meth:`Transport.serve`, and
        what is behind the address spreads the channels. ConfigurationError as in :meth:`Transport.serve`.
        """
        ...

    def serve_bound(self, listen: str, sockets: Sequence[socket.socket], accept: Accept, turns: Turns) -> Server:
        """As :meth:`Transport.serve`, at sockets that another process has bound, and that others use as well."""
        ...
