"""The events of a process that uses a wrapped database."""

from __future__ import annotations

from typing import ClassVar, Literal

from .event import Event as Event
from .route import Route
from .sql import command, summary

#: Whether a statement reads; changes data or anything else; or begins or ends a transaction, or changes the session.
StatementKind = Literal["read", "write", "control"]
#: What a request asks a node for: statements, a further piece of a COPY, a function, to cancel a statement, or what
#: became of an earlier request; or anything else.
RequestKind = Literal["run", "copy", "call", "cancel", "settle", "other"]


class _OfStatement(Event, frozen=True, kw_only=True):
    id: int
    """The same at the start and at the end; no other operation of this process has it."""
    database: str
    """The name of the wrapped database."""
    statements: int = 1
    """How many statements it stands for: more than one for ``executemany()`` and for batches."""
    _text: str | bytes = ""

    @property
    def sql(self) -> str:
        """The statement in one line without its literals, of at most 1,000 characters; the first one of several."""
        return summary(self._text)

    @property
    def command(self) -> str:
        """Its first word in upper case, such as ``SELECT``; a good label, since there are few of them."""
        return command(self._text)


class StatementStarted(_OfStatement, frozen=True, kw_only=True):
    """A statement begins. Its :class:`StatementServed` follows on the same thread, in the same context."""

    heard_by: ClassVar[str] = "statement_started"


class StatementServed(_OfStatement, frozen=True, kw_only=True):
    """A statement has been served, or has failed.

    What the caller executes with one call is one statement: a whole ``executemany()``, or what Pony flushes at once.
    """

    heard_by: ClassVar[str] = "statement_served"

    kind: StatementKind
    route: Route | None
    """Where it ran; None if it failed before that was decided."""
    why: str
    """A short clause that says what decided the route. For people; nothing may depend on its words."""
    server: str | None
    """The Postgres server that executed it over this process's own connection, as ``address:port``, if it is known."""
    node: str | None
    """The node that executed it, as ``region=address``; None if it ran in this process."""
    total: float
    """Seconds that it took in all, with everything that fly_orm did for it."""
    rpc: float = 0.0
    """Seconds of it between sending requests to the primary region and receiving the replies."""
    wait: float = 0.0
    """Seconds of it spent waiting for the replica."""
    round_trips: int = 0
    """How many requests to the primary region were answered for it; all the pieces of a result or a COPY are one."""
    rows: int = -1
    """How many rows it has returned or changed; -1 if that is not known."""
    error: str | None = None
    """The name of the class of the exception that it has raised; None if it succeeded."""
    sqlstate: str | None = None
    """The SQLSTATE of that exception, if it has one."""


class CallStarted(Event, frozen=True, kw_only=True):
    """The call of a function begins. Its :class:`CallServed` follows on the same thread, in the same context."""

    heard_by: ClassVar[str] = "call_started"

    id: int
    """The same at the start and at the end; no other operation of this process has it."""
    function: str
    """The name that the function is registered under."""


class CallServed(Event, frozen=True, kw_only=True):
    """The call of a function that may run in another region has returned, or has raised an exception."""

    heard_by: ClassVar[str] = "call_served"

    id: int
    function: str
    """The name that the function is registered under."""
    route: Route | None
    """Where it ran; None if no node has accepted it."""
    why: str
    node: str | None
    """The node that ran it, as ``region=address``; None if it ran in this process."""
    total: float
    """Seconds that the call took in all."""
    rpc: float = 0.0
    """Seconds of it between sending the request and receiving the reply."""
    wait: float = 0.0
    """Seconds of it spent waiting for the replica."""
    statements: int | None = None
    """How many statements the function has executed on the node; None if the node has not told."""
    error: str | None = None
    """The name of the class of the exception that it has raised; None if it succeeded."""


class RequestStarted(Event, frozen=True, kw_only=True):
    """A request is about to be sent to a node. Its :class:`RequestEnded` follows on the same thread."""

    heard_by: ClassVar[str] = "request_started"

    id: int
    """The same at the start and at the end; no other operation of this process has it."""
    kind: RequestKind
    node: str
    """The node that it is sent to, as ``region=address``."""
    database: str | None
    """The name of the database; None for a function, which may use several."""
    function: str | None = None
    """For a call, the name that the function is registered under."""


class RequestEnded(Event, frozen=True, kw_only=True):
    """The reply to a request has arrived, or none will be waited for."""

    heard_by: ClassVar[str] = "request_ended"

    id: int
    kind: RequestKind
    node: str
    database: str | None
    function: str | None = None
    seconds: float
    """From sending the request to receiving the reply."""
    sent_bytes: int
    """The size of the encoded request."""
    received_bytes: int
    """The size of the encoded reply; 0 if there was none."""
    declined: str | None = None
    """Why the node has executed nothing, such as ``busy``; None if it did, or if there was no reply."""
    error: str | None = None
    """The name of the class of the exception, such as ``OutcomeUnknown``; None if there was a reply."""


class WaitEnded(Event, frozen=True, kw_only=True):
    """A wait for the replica to replay what somebody has written or seen is over."""

    heard_by: ClassVar[str] = "wait_ended"

    database: str
    seconds: float
    """How long it took."""
    late: bool
    """Whether the replica does not show it, so that the session reads on the primary."""


class ReadFellBack(Event, frozen=True, kw_only=True):
    """A read that belongs on the replica runs on the primary."""

    heard_by: ClassVar[str] = "read_fell_back"

    database: str
    because: Literal["refused", "late"]
    """Whether the replica has refused it, or does not show yet what the session has seen."""
    why: str
    """The same in words."""
    sqlstate: str | None = None
    """The SQLSTATE of the replica's error, if it has refused the read."""


class ReplicaLate(Event, frozen=True, kw_only=True):
    """A wait for the replica has run out. Nobody waits for it until it has caught up."""

    heard_by: ClassVar[str] = "replica_late"

    server: str | None
    """The replica, as ``address:port``; None behind a pooler."""
    timeout: float | None
    """Seconds for which it was waited; None if there was no limit, and the replica could not be asked."""
    missing_bytes: int | None
    """How many bytes of WAL it lacks; None if it could not be asked."""
    lag: float | None
    """Seconds since the last transaction that it has replayed was committed; None if it could not be asked."""
    why: str


class ReplicaCaughtUp(Event, frozen=True, kw_only=True):
    """The replica that was late is waited for again."""

    heard_by: ClassVar[str] = "replica_caught_up"

    server: str | None
    """The replica, as ``address:port``; None behind a pooler."""
    seconds: float
    """For how long it was late."""
    restarted: bool
    """Whether it counts as another server now, since it was restarted or replaced."""


class UnknownOutcome(Event, frozen=True, kw_only=True):
    """Nobody can tell whether a request was executed: its caller gets :class:`fly_orm.OutcomeUnknown`."""

    heard_by: ClassVar[str] = "unknown_outcome"

    database: str | None
    """The name of the database; None for the call of a function."""
    function: str | None
    """For a call, the name that the function is registered under."""
    node: str | None
    """The node that it was sent to, as ``region=address``."""
    why: str


class ChannelOpened(Event, frozen=True, kw_only=True):
    """A channel to a node is open."""

    heard_by: ClassVar[str] = "channel_opened"

    node: str
    seconds: float
    """How long it took to connect, and to prove to each other that both hold the secret."""


class ChannelClosed(Event, frozen=True, kw_only=True):
    """A channel to a node was closed."""

    heard_by: ClassVar[str] = "channel_closed"

    node: str
    seconds: float
    """For how long it was open."""


class ChannelRefused(Event, frozen=True, kw_only=True):
    """No channel to a node could be opened."""

    heard_by: ClassVar[str] = "channel_refused"

    node: str
    seconds: float
    """How long the attempt took."""
    error: str
    """The name of the class of the exception, such as ``NotDelivered`` or ``AuthenticationFailed``."""
    why: str


class NodeSetAside(Event, frozen=True, kw_only=True):
    """A node could not be reached, or shuts down. It is tried last until it answers."""

    heard_by: ClassVar[str] = "node_set_aside"

    node: str
    why: str


class NodeReturned(Event, frozen=True, kw_only=True):
    """A node that was set aside answers again."""

    heard_by: ClassVar[str] = "node_returned"

    node: str
    seconds: float
    """For how long it was set aside."""
