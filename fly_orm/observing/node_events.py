"""The events of a node, which executes what other processes send."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from .event import Event
from .events import RequestKind

#: What a peer lacks that is turned away: the secret, or a version of the protocol that this node knows.
WhyNoProof = Literal["secret", "version"]


class RequestReceived(Event, frozen=True, kw_only=True):
    """A node begins to execute a request. Its :class:`RequestExecuted` follows on the same thread, in the same context.

    A function runs between the two, on that thread and in that context.
    """

    heard_by: ClassVar[str] = "request_received"

    id: int
    """The same at the start and at the end; no other operation of this process has it."""
    kind: RequestKind
    peer: str
    """The process that has sent it, as the transport describes it."""
    database: str | None
    """The name of the database; None for a function, which may use several."""
    function: str | None = None
    """For a call, the name that the function is registered under."""
    context: Mapping[str, str] = {}
    """What :meth:`fly_orm.Observer.request_started` has returned in the process that has sent it."""


class RequestExecuted(Event, frozen=True, kw_only=True):
    """A node has executed a request, or has declined it."""

    heard_by: ClassVar[str] = "request_executed"

    id: int
    kind: RequestKind
    peer: str
    database: str | None
    function: str | None = None
    seconds: float
    """How long it took, with the time for which it waited for a connection or a thread."""
    declined: str | None = None
    """Why nothing was executed, such as ``busy``; None if it was."""
    error: str | None = None
    """The SQLSTATE of the error that the statements have raised, or the class of the function's; None without one."""
    why: str = ""
    """For what was declined, the reason in words."""


class ConnectionLent(Event, frozen=True, kw_only=True):
    """A node has lent a request one of its connections to the primary."""

    heard_by: ClassVar[str] = "connection_lent"

    database: str
    wait: float
    """Seconds for which the request has waited for it."""
    in_use: int
    """How many of the connections are in use now, this one included."""
    size: int
    """How many there may be: ``--pool-size``."""


class LeaseOpened(Event, frozen=True, kw_only=True):
    """A node holds a connection to the primary for one caller."""

    heard_by: ClassVar[str] = "lease_opened"

    database: str
    peer: str
    seconds: float
    """How long it took to get a connection, and to give it the caller's role and session settings."""


class LeaseEnded(Event, frozen=True, kw_only=True):
    """A node has taken back the connection."""

    heard_by: ClassVar[str] = "lease_ended"

    database: str
    peer: str
    seconds: float
    """For how long it was held."""


class PeerConnected(Event, frozen=True, kw_only=True):
    """A process has opened a channel to this node, and has proven that it holds the secret."""

    heard_by: ClassVar[str] = "peer_connected"

    peer: str
    region: str
    """The region in which it says that it runs."""


class PeerGone(Event, frozen=True, kw_only=True):
    """A channel to this node was closed."""

    heard_by: ClassVar[str] = "peer_gone"

    peer: str
    region: str
    seconds: float
    """For how long it was open."""


class PeerRefused(Event, frozen=True, kw_only=True):
    """A node has declined what a peer asked for, and has executed nothing."""

    heard_by: ClassVar[str] = "peer_refused"

    peer: str
    kind: RequestKind
    reason: str
    """The kind of reason, such as ``busy``, ``draining``, ``not the primary`` or ``role``; there are few of them."""
    why: str


class ProofFailed(Event, frozen=True, kw_only=True):
    """A peer could not prove that it holds the secret, or speaks another version of the protocol."""

    heard_by: ClassVar[str] = "proof_failed"

    peer: str
    because: WhyNoProof
