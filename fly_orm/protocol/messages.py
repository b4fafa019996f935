"""The requests and replies that nodes exchange.

Messages are frozen values. A node ignores fields that it does not know, and every field that a later release adds has
a default, so that two releases can run side by side during a deploy.
"""

from __future__ import annotations

from ..position import History, Position, Superseded
from .base import Answer as Answer
from .base import Instant as Instant
from .base import Message as Message
from .base import Timeout as Timeout
from .batching import Batch as Batch
from .batching import Step as Step
from .copying import BrokenInput as BrokenInput
from .copying import Copy as Copy
from .copying import Copying as Copying
from .inspecting import Describe as Describe
from .inspecting import Described as Described
from .inspecting import Inspect as Inspect
from .inspecting import Inspected as Inspected
from .recording import Record as Record
from .recording import digest as digest
from .results import Column as Column
from .results import OpenTransaction as OpenTransaction
from .results import Result as Result
from .results import SessionReport as SessionReport
from .results import SQLError as SQLError

# Requests


class Greet(Message, frozen=True, tag="greet"):
    """Open a channel. The caller learns from the reply how long the way there and back takes."""

    region: str
    """Where the caller runs, for the node's log."""


class Watch(Message, frozen=True):
    """What a request may have changed in the Postgres session, so that the node has to look once it has run."""

    settings: list[str] = []
    """The names of session settings, in lower case."""
    anything: bool = False
    """Whether others may have changed too."""
    state: bool = False
    """Whether locks or temporary objects may be left."""

    @property
    def customized(self) -> set[str]:
        """Those of the settings that are customized."""
        return {name for name in self.settings if "." in name}


class Run(Message, frozen=True, tag="run"):
    """Execute statements on the primary.

    They run in a *lease*: a primary connection held for one caller. A lease outlives the request while a transaction is
    open in it, or if ``keeps_lease`` asks for that. Later requests on the same channel then continue it by its id.
    """

    database: str
    """The name of the wrapped database."""
    lease: bytes
    """The id of the lease, chosen by the caller."""
    opens_lease: bool = False
    """Whether the request opens the lease. A node declines a request for a lease that it does not know as ``lost``: the
    lease, and the transaction in it, are gone."""
    timeout: Timeout | None = None
    """Seconds that the caller will wait; what still runs after that is cancelled. None is no limit."""
    begin_by: Instant | None = None
    """When the caller gives up: no statement may begin after that. None if there is no limit, or the caller has not
    heard of the node's clock."""
    renews: bool = False
    """Whether the caller renews the lease as the node asks while a transaction is open, so that silence means loss."""
    encoding: str = "UTF8"
    """The caller's client encoding: statements are written in it, and results are returned in it."""
    role: str = ""
    """The role that the caller's session has logged in as; empty for the node's own, and whatever that begins with."""
    start_settings: dict[str, str] = {}
    """The settings that the caller's session has begun with, apart from those of its server's configuration."""
    requested_settings: list[str] | None = None
    """If given, the caller has seen more than its server, which may not know of an ALTER ROLE or ALTER DATABASE … SET:
    the session is to begin as one would that began now on the primary, except for these settings."""
    session_settings: list[bytes] = []
    """The statements that give a new lease the caller's session settings, on top of these."""
    made_settings: list[str] = []
    """The customized settings that the caller's session has ever given a value, those of this request included."""
    resets: list[str] = []
    """The settings that the request resets to what the caller's session has begun with; ``*`` is all of them."""
    preamble: list[bytes] = []
    """Statements to run first, such as BEGIN, whose results the caller does not need."""
    statements: list[bytes] = []
    """Statements to run in order, up to the first error; the result is that of the last one that ran."""
    batch: Batch | None = None
    """Statements to run in the transaction that the request begins or continues, instead of ``statements``. A node that
    does not know this field runs none of them, and its reply has no ``results``."""
    copy_in: bytes | None = None
    """The input of the only statement, which is COPY … FROM STDIN."""
    broken_copy_in: BrokenInput | None = None
    """That input, if it could not be read to its end. A node that does not know this field fails the statement, too."""
    copy_in_begins: bytes | None = None
    """The first piece of that input, if there are more, which :class:`Copy` carries. A node that does not know this
    field fails the statement."""
    copy_out: bool = False
    """Whether the only statement is COPY … TO STDOUT."""
    copy_out_in_pieces: bool = False
    """Whether its output may come in pieces, in :class:`Copying`."""
    piece_bytes: int = 0
    """If given, the result of the only statement may come in pieces of about so many bytes, in :class:`Copying`."""
    keeps_lease: bool = False
    """Whether the request leaves state in the Postgres session that later requests need (a temporary table, a lock)."""
    commits: bool = False
    """Whether the last statement is COMMIT. It has no time limit: cancelling its wait for standbys undoes nothing."""
    ends_transaction: bool = False
    """Whether the last of ``statements`` is itself several statements, one of which ends a transaction."""
    commit_limited: bool = False
    """Whether it has a time limit all the same: it waits for no standby, as the node has said."""
    wants_id: bool = False
    """Whether the caller needs to know the id of the open transaction, once it has one."""
    wants_position: bool = True
    """Whether the caller needs to know the primary's position, so that its later reads are at least as fresh."""
    newest: list[History] = []
    """The newest timelines of the database that the caller has seen. A node declines to open a lease if its primary is
    on an older one, because that primary was superseded."""
    may_change_role: bool = False
    """Whether functions or code that the request calls may change the role, so that the node has to look before it
    commits that the caller may take it."""
    watch: Watch | None = None
    """What to look for in the Postgres session, unless a transaction is still open then."""
    record: Record | None = None
    """How the ledger has to record what the request commits; None if it does not."""
    context: dict[str, str] = {}
    """What the caller's observers give the node's, such as the ``traceparent`` of a trace."""

    @property
    def has_commit(self) -> bool:
        """Whether COMMIT is the last that the request executes."""
        return self.commits or (self.batch is not None and self.batch.commits)

    @property
    def texts(self) -> list[bytes]:
        """The statements that the request executes after its preamble."""
        return self.statements if self.batch is None else [step.statement for step in self.batch.steps]


class Settle(Message, frozen=True, tag="settle"):
    """Tell what became of a request whose caller got no reply. From then on it cannot commit anything any more.

    Asking has no other effect, so it may be repeated, on any node.
    """

    run: Run
    """What the request would need to open a lease, without its statements."""
    id: str = ""
    """That of the request's :class:`Record`; empty if it was the COMMIT of ``transaction``."""
    transaction: OpenTransaction | None = None
    lease: bytes = b""
    """The lease of that transaction, which ends unless it is executing the COMMIT."""


class Cancel(Message, frozen=True, tag="cancel"):
    """Cancel the statement that is running in a lease. Sent on another channel, since that of the lease is busy."""

    lease: bytes
    begin_by: Instant | None = None
    """When the caller gives up, as in :class:`Run`: later, another statement may be running."""


class Renew(Message, frozen=True, tag="renew"):
    """Keep a lease open, which is idle: a transaction is open in it, or its Postgres session has state."""

    lease: bytes


class Release(Message, frozen=True, tag="release"):
    """End the lease of this channel, which has one at a time, and roll back what is open in it."""


class Call(Message, frozen=True, tag="call"):
    """Run a registered function. :mod:`fly_orm.codec` encodes each argument by itself."""

    function: str
    """The name that the function is registered under."""
    positional: list[bytes] = []
    named: dict[str, bytes] = {}
    timeout: Timeout | None = None
    """Seconds that the caller will wait; a function that still runs after that is stopped. None is no limit."""
    begin_by: Instant | None = None
    """When the caller gives up, as in :class:`Run`."""
    on_primary: bool = False
    """Whether the node must be connected to the primary of each database that it serves."""
    newest: dict[str, list[History]] = {}
    """With ``on_primary``, by database, the newest timelines that the caller has seen, as in :class:`Run`."""
    record: Record | None = None
    """How the ledger of ``database`` has to record the call; None if it does not."""
    database: str = ""
    """The name of the database in one transaction of which the function has to run, if it is recorded."""
    context: dict[str, str] = {}
    """As in :class:`Run`."""
    blocks: list[str] = []
    """The databases for which the caller is in a block that their ORM asks for, so that the function is in one, too."""


Request = Greet | Run | Copy | Describe | Inspect | Settle | Cancel | Renew | Release | Call

# Replies


class Welcome(Answer, frozen=True, kw_only=True, tag="welcome"):
    """The channel is open. What it says about the node is for the caller's log."""

    region: str
    """Where the node runs."""
    databases: list[str]
    """The names of the databases that it serves."""
    primary_region: str | None = None
    """The node's ``PRIMARY_REGION``: empty if it is not set, None if the node does not say."""
    idle_timeout: float | None = None
    """Seconds without a request after which a lease ends; None if it does not, or the node does not say."""
    renewal_interval: Timeout | None = None
    """Seconds after which to renew a lease in which a transaction is open; None if the node does not ask for it."""
    records: bool = False
    """Whether the node understands ``Run.record``. An older one would execute the request and record nothing."""


class Done(Answer, frozen=True, kw_only=True, tag="done"):
    """The statements were executed: all of them, or those up to the one that raised ``error``."""

    result: Result | None = None
    results: list[Result] | None = None
    """Those of the statements of a batch that were executed, the last of which may not be as expected. If there is an
    error too, it is that of the next statement, or of the COMMIT."""
    error: SQLError | None = None
    notices: list[str] = []
    transaction: int = 0
    """libpq's transaction status after the request: 0 is idle, 2 in a transaction, 3 in a failed transaction."""
    opened: OpenTransaction | None = None
    """The transaction that is open, if the caller wants to know and it has an id."""
    lease_open: bool = False
    """Whether the lease is still open, so that later requests can continue it."""
    position: Position | None = None
    """The position that a replica must replay to show what the request committed and read; None in a transaction."""
    start_settings: dict[str, str] | None = None
    """What a new lease has begun with, if the request did not decide that."""
    may_have_written: bool = True
    """False if the transaction that ended certainly wrote nothing."""
    session: SessionReport | None = None
    """What was asked for with ``watch``."""
    unrecorded: bool = False
    """Whether nothing was executed, because the statement cannot run in a transaction, and so cannot be recorded."""


class Returned(Answer, frozen=True, kw_only=True, tag="returned"):
    """A function ran to its end. One of ``value``, ``error`` and ``result_lost`` is set."""

    value: bytes | None = None
    """What the function returned."""
    error: bytes | None = None
    """The exception that the function raised."""
    result_lost: str | None = None
    """Why the node could not send what the function returned."""
    written: dict[str, Position] = {}
    """For each database, the position that a replica must replay to show what the function wrote.

    It is UNKNOWN if the function may have written and the node could not ask the primary for its position.
    """
    read: dict[str, Position] = {}
    """For each database that the function only read, the position that a replica must replay to show as much.

    It is UNKNOWN if the node could not ask for it.
    """
    statements: int | None = None
    """How many statements the function has executed; None if the node does not tell."""


class Settled(Answer, frozen=True, kw_only=True, tag="settled"):
    """What became of a request whose caller got no reply."""

    executed: bool
    """Whether it has committed. If not, it never will."""
    reply: bytes | None = None
    """Its encoded reply; None if the ledger does not have it."""
    position: Position | None = None
    """A position that a replica must replay to show what the request has committed, if it has."""


class Declined(Answer, frozen=True, kw_only=True, tag="declined"):
    """The request was not executed, or (``lost``, ``unknown``) the connection to the primary broke meanwhile."""

    reason: str
    """One of :mod:`.reasons`, or one that only newer nodes know."""
    message: str
    """An explanation for the caller's error message."""
    ended: bool = False
    """With ``unknown``: whether the server ended the connection, and with it what it was executing."""
    superseded: dict[str, Superseded] = {}
    """By database, the node's primary, if the node declined because the caller has seen a newer timeline."""


Reply = Welcome | Described | Inspected | Copying | Done | Returned | Settled | Declined
