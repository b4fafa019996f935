"""The interface that carries opaque bytes between nodes. A plug-in implements these few methods and nothing else.

Authentication, encoding, sessions and retries belong to the core and work over every transport. A transport never
repeats a request. :class:`fly_orm.testing.TransportContract` tests all that is said here, and docs/transports.md shows
how to write one. Each exchange has one of three outcomes, and telling them apart is a transport's main duty:

* a reply;
* :class:`~fly_orm.errors.NotDelivered`: the request was certainly not executed, so another node may be tried;
* :class:`~fly_orm.errors.OutcomeUnknown`: it may have executed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .concurrency.forks import Abandonable, abandon_in_children
from .deadline import Deadline
from .parsing import parse_options

__all__ = [
    "MAX_MESSAGE_BYTES",
    "OVERHEAD_BYTES",
    "STRANGER_MAX_MESSAGE_BYTES",
    "STRANGER_TIMEOUT",
    "Abandonable",
    "Accept",
    "Channel",
    "Deadline",
    "Responder",
    "Server",
    "Transport",
    "abandon_in_children",
    "parse_options",
]

#: What the seal of a message and the transport may add to its size.
OVERHEAD_BYTES = 1024
#: No request or reply is longer than this.
MAX_MESSAGE_BYTES = 32 * 1024 * 1024
#: Nor is one of a peer that has not proven yet that it holds the secret.
STRANGER_MAX_MESSAGE_BYTES = 1024
#: Such a peer is disconnected after so many seconds.
STRANGER_TIMEOUT = 5.0


class Channel(Protocol):
    """A connection to one process of a node. One caller at a time uses it; another thread may, later."""

    def exchange(self, request: bytes, deadline: Deadline) -> bytes:
        """The reply to ``request``. Every exchange on a channel reaches the same process.

        After any exception (NotDelivered, OutcomeUnknown, or one that interrupted the caller) the channel is of no
        further use: it delivers nothing more, and raises NotDelivered. A later reply to this request must never be
        taken for the reply to another. Nor is it of any use in a process forked since it was opened.

        NotDelivered has to be certain even if a signal handler raises, in the middle, what a connection raises, such as
        a TimeoutError.
        """
        ...

    def close(self) -> None:
        """Close the connection; the peer notices. May be called twice, and never raises.

        Called from another thread, it ends the exchange that is under way there, with OutcomeUnknown.
        In a process forked since the channel was opened it only lets go of it: the parent's connection stays usable.
        """
        ...


class Responder(Protocol):
    """The core's end of one accepted channel."""

    @property
    def trusted(self) -> bool:
        """Whether the peer has proven that it holds the secret; until then the limits for strangers apply.

        Asked when the channel is accepted and after each reply.
        """
        ...

    def respond(self, request: bytes) -> bytes | None:
        """The reply to send, or None to send nothing and drop the connection. Never raises.

        Called for one request at a time, in the order in which they came.
        """
        ...

    def gone(self) -> None:
        """The peer is gone or the connection is being closed. Called once, perhaps while ``respond`` runs.

        Returns soon, and does not wait for ``respond`` to end.
        """
        ...


#: Makes the responder of a newly accepted channel from a description of the peer, such as its address.
Accept = Callable[[str], Responder]


class Server(Protocol):
    """A listening transport."""

    @property
    def address(self) -> str:
        """The address as it was given, with the port that was really bound."""
        ...

    def close(self, drain_timeout: float) -> None:
        """Stop accepting, let the requests being answered finish for up to ``drain_timeout`` seconds, then disconnect.

        Every responder's ``gone`` has been called when this returns. May be called twice.
        """
        ...


class Transport(Protocol):
    """Opens and accepts channels. Made once per process, without arguments, by the entry point."""

    def connect(self, address: str, deadline: Deadline) -> Channel:
        """A channel to the node at ``address``; NotDelivered if none can be opened in time.

        ConfigurationError if the address is malformed.
        """
        ...

    def serve(self, listen: str, accept: Accept) -> Server:
        """Listen at ``listen`` in the background, and give each accepted channel the responder that ``accept`` makes.

        ConfigurationError if the address is malformed or cannot be bound.
        """
        ...

    def is_local(self, address: str) -> bool:
        """Whether only processes on this machine can connect to ``address``, so that no secret is required."""
        ...
