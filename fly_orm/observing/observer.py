"""The interface of observers."""

from __future__ import annotations

from collections.abc import Mapping

from .event import Event
from .events import (
    CallServed,
    CallStarted,
    ChannelClosed,
    ChannelOpened,
    ChannelRefused,
    NodeReturned,
    NodeSetAside,
    ReadFellBack,
    ReplicaCaughtUp,
    ReplicaLate,
    RequestEnded,
    RequestStarted,
    StatementServed,
    StatementStarted,
    UnknownOutcome,
    WaitEnded,
)
from .node_events import (
    ConnectionLent,
    LeaseEnded,
    LeaseOpened,
    PeerConnected,
    PeerGone,
    PeerRefused,
    ProofFailed,
    RequestExecuted,
    RequestReceived,
)


class Observer:
    """Hears what fly_orm does. Derive a class, define the methods that you need, and pass it to :func:`observe`.

    Each method gets one kind of event, at once and on the thread on which it happened: a statement or a node waits for
    what the method does. Methods are called from many threads at a time. Events that no observer has a method for are
    not even made. What a method executes itself on a wrapped database is not observed.

    An exception that a method raises is logged, once for each method, and has no other effect. An interrupt is passed
    on when all observers have heard the event: KeyboardInterrupt and whatever else is not an ``Exception``. SystemExit
    is passed on only on the main thread, where a signal handler may have raised it. Elsewhere it is logged.

    Operations with a start and an end have an ``id``, which is the same in both events. The end always follows, on the
    same thread and in the same context, and operations in between are over by then.

    Later releases add methods, and fields to events, and neither harms an observer that does not know them.
    """

    def event(self, event: Event) -> None:
        """Any event, those of later releases included. The other methods are called besides."""

    def statement_started(self, event: StatementStarted) -> None:
        """A statement begins."""

    def statement_served(self, event: StatementServed) -> None:
        """A statement has been served, or has failed."""

    def read_timed(self, database: str, seconds: float) -> None:
        """A plain read has succeeded on this region's server. Called instead of :meth:`statement_served`.

        That is so if every observer that defines that method defines this one as well, and none hears that statements
        begin: a read that is only counted and timed costs a third of one that is described by an event.
        """

    def call_started(self, event: CallStarted) -> None:
        """The call of a function begins."""

    def call_served(self, event: CallServed) -> None:
        """The call of a function has returned, or has raised an exception."""

    def request_started(self, event: RequestStarted) -> Mapping[str, str] | None:
        """A request is about to be sent to a node.

        The texts that this returns travel with a request to execute statements or a function, such as the
        ``traceparent`` of a trace. The node's observers get them as :attr:`RequestReceived.context`. They may have
        4,096 characters in all, names included; otherwise a warning is logged, and none of them travels.
        """

    def request_ended(self, event: RequestEnded) -> None:
        """The reply to a request has arrived, or none will be waited for."""

    def wait_ended(self, event: WaitEnded) -> None:
        """A wait for the replica is over."""

    def read_fell_back(self, event: ReadFellBack) -> None:
        """A read that belongs on the replica runs on the primary."""

    def replica_late(self, event: ReplicaLate) -> None:
        """A wait for the replica has run out, and nobody waits for it until it has caught up."""

    def replica_caught_up(self, event: ReplicaCaughtUp) -> None:
        """The replica that was late is waited for again."""

    def unknown_outcome(self, event: UnknownOutcome) -> None:
        """Nobody can tell whether a request was executed."""

    def channel_opened(self, event: ChannelOpened) -> None:
        """A channel to a node is open."""

    def channel_closed(self, event: ChannelClosed) -> None:
        """A channel to a node was closed."""

    def channel_refused(self, event: ChannelRefused) -> None:
        """No channel to a node could be opened."""

    def node_set_aside(self, event: NodeSetAside) -> None:
        """A node could not be reached, or shuts down."""

    def node_returned(self, event: NodeReturned) -> None:
        """A node that was set aside answers again."""

    # On a node

    def request_received(self, event: RequestReceived) -> None:
        """A node begins to execute a request."""

    def request_executed(self, event: RequestExecuted) -> None:
        """A node has executed a request, or has declined it."""

    def connection_lent(self, event: ConnectionLent) -> None:
        """A node has lent a request one of its connections to the primary."""

    def lease_opened(self, event: LeaseOpened) -> None:
        """A node holds a connection to the primary for one caller."""

    def lease_ended(self, event: LeaseEnded) -> None:
        """A node has taken back the connection of a lease."""

    def peer_connected(self, event: PeerConnected) -> None:
        """A process has opened a channel to this node."""

    def peer_gone(self, event: PeerGone) -> None:
        """A channel to this node was closed."""

    def peer_refused(self, event: PeerRefused) -> None:
        """A node has declined what a peer asked for."""

    def proof_failed(self, event: ProofFailed) -> None:
        """A peer could not prove that it holds the secret."""
