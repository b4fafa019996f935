"""What two nodes say to each other: requests, replies, and their encoding.

Frozen values, encoded as MessagePack and checked against these types when they are decoded. Unknown fields are ignored
and new ones have defaults, so that neighbouring releases understand each other.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from ..errors import FlyOrmError
from ..lsn import LSN, UNKNOWN_LSN
from ..position import Position


class MessageError(FlyOrmError):
    """The bytes are not a message of this protocol."""


#: Seconds.
Budget = Annotated[float, msgspec.Meta(ge=0)]


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all messages."""


# Requests


class Greet(Message, frozen=True, tag="greet"):
    """Open a channel: who is calling."""

    region: str


class Run(Message, frozen=True, tag="run"):
    """Execute statements on the primary, in a lease that ends with the request unless something keeps it.

    A *lease* is a primary connection held for one caller. It outlives the request while a transaction is open in it or
    ``keep`` asks for it, and later requests on the same channel continue it by its id.
    """

    database: str
    lease: bytes
    opens: bool = False
    """Whether the lease begins here; one that does not and is unknown means that the transaction was lost."""
    budget: Budget | None = None
    """Seconds that the caller will still wait; statements are cancelled when they are over."""
    encoding: str = "UTF8"
    """The caller's client encoding, in which statements are written and results are wanted."""
    profile: list[bytes] = []
    """Statements that give a new lease the caller's session settings."""
    before: list[bytes] = []
    """Statements, such as BEGIN, whose results nobody wants."""
    statements: list[bytes] = []
    """Statements in order, up to the first error; the result is that of the last one that ran."""
    copy_in: bytes | None = None
    """What the only statement, a COPY … FROM STDIN, reads."""
    copy_out: bool = False
    """Whether the only statement is a COPY … TO STDOUT."""
    keep: bool = False
    """Whether the caller's session leaves state in the lease that later requests need."""
    commits: bool = False
    """Whether the last statement is a COMMIT, which must not be cancelled half-way."""
    ends: bool = False
    """Whether the last statement is a string of several, one of which ends a transaction."""
    wait: bool = True
    """Whether the caller wants the LSN, for its next reads to be no older."""


class Cancel(Message, frozen=True, tag="cancel"):
    """Cancel the statement that runs in a lease, from another channel."""

    lease: bytes


class Release(Message, frozen=True, tag="release"):
    """End the lease of this channel, rolling back what is open in it."""

    lease: bytes


class Call(Message, frozen=True, tag="call"):
    """Run a registered function. Values are encoded by :mod:`fly_orm.codec`, each by itself."""

    function: str
    """The name that it is registered under."""
    positional: list[bytes] = []
    named: dict[str, bytes] = {}
    budget: Budget | None = None
    """Seconds that the caller will still wait; statements are cancelled when they are over."""
    on_primary: bool = False
    """Whether the node has to have the primary of the databases that it serves."""


Request = Greet | Run | Cancel | Release | Call

# Replies


class Welcome(Message, frozen=True, tag="welcome"):
    """The channel is open: who answers."""

    region: str
    databases: list[str]


class Column(Message, frozen=True, array_like=True):
    """One column of a result, as ``psycopg2.extensions.Column`` is made from it."""

    name: str
    type_code: int
    internal_size: int | None
    precision: int | None
    scale: int | None
    table_oid: int | None
    table_column: int | None


class Result(Message, frozen=True):
    """What a statement returned. Values are Postgres' text in the caller's encoding, column by column."""

    columns: list[Column] | None = None
    data: list[list[bytes | None]] = []
    rows: int = 0
    """Number of rows in ``data``, which has no columns for a SELECT of nothing."""
    row_count: int = -1
    status_message: str | None = None
    last_row_id: int = 0
    copied: bytes | None = None


class SQLError(Message, frozen=True):
    """An error that the primary's driver raised, with all that its server said."""

    driver_class: str
    """Name of the DB-API class, for errors without a SQLSTATE."""
    message: str
    sqlstate: str | None = None
    text: str | None = None
    """psycopg2's ``pgerror``."""
    diagnostics: dict[str, str] = {}
    """The fields of psycopg2's ``diag`` that are set."""


class Done(Message, frozen=True, tag="done"):
    """The statements were executed up to the last or to an error."""

    result: Result | None = None
    error: SQLError | None = None
    notices: list[str] = []
    transaction: int = 0
    """libpq's transaction status after the request: 0 idle, 2 in a transaction, 3 in a failed one."""
    kept: bool = False
    """Whether the lease is still held."""
    position: Position | None = None
    """What a replica has replayed once it shows what was committed and read; None inside a transaction."""
    wrote: bool = True
    """Whether something may have been committed."""


class Returned(Message, frozen=True, tag="returned"):
    """A function was run to its end: one of ``value``, ``error`` and ``lost`` is set."""

    value: bytes | None = None
    error: bytes | None = None
    """The exception that it raised."""
    lost: str | None = None
    """Why what it returned cannot be had."""
    written: dict[str, Position] = {}
    """By database: what a replica has replayed once it shows what the function wrote.

    UNKNOWN: it may have written, but the primary could not be asked for its position.
    """


#: The reason of a node that declines because all that could do the work is in use. The others are literals.
BUSY = "busy"


class Declined(Message, frozen=True, tag="declined"):
    """The request was not executed, or (``lost``, ``unknown``) the primary's connection broke while it was."""

    reason: str
    """``not primary``, ``busy``, ``draining``, ``unknown database``, ``unknown function``,
    ``bad arguments``, ``expired``, ``bad request``, ``unavailable``; ``lost``: the lease is gone, and its transaction
    rolled back; ``unknown``: a commit may or may not have happened."""
    message: str


Reply = Welcome | Done | Returned | Declined


def _lsn(_type: type, value: object) -> LSN:
    """The only values that MessagePack does not have."""
    if not isinstance(value, int) or not 0 <= value <= UNKNOWN_LSN:
        raise ValueError(f"{value!r} is no LSN")
    return LSN(value)


def decoder(type_: Any) -> Any:
    """A decoder of MessagePack for values of this type, which may have positions in them."""
    return msgspec.msgpack.Decoder(type_, dec_hook=_lsn)


encode = msgspec.msgpack.Encoder(enc_hook=int).encode
_requests: msgspec.msgpack.Decoder[Request] = decoder(Request)
_replies: msgspec.msgpack.Decoder[Reply] = decoder(Reply)


def decode_request(message: bytes) -> Request:
    """The request in ``message``; MessageError if it is none."""
    try:
        return _requests.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MessageError(f"not a request of fly_orm's protocol: {error}") from error


def decode_reply(message: bytes) -> Reply:
    """The reply in ``message``; MessageError if it is none."""
    try:
        return _replies.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MessageError(f"not a reply of fly_orm's protocol: {error}") from error
