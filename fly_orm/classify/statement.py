"""What can be told of a statement."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal


class Kind(enum.Enum):
    """What a statement does, as far as routing cares."""

    READ = "read"  # a replica answers it as the primary would
    WRITE = "write"  # needs the primary, or could not be told apart
    BEGIN = "begin"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    SAVEPOINT = "savepoint"
    RELEASE = "release"
    ROLLBACK_TO = "rollback to"
    SET = "set"  # changes settings of the session, so belongs in every session that serves this caller
    SET_LOCAL = "set local"  # lasts for the transaction
    LISTEN = "listen"
    UNLISTEN = "unlisten"
    TWO_PHASE = "two-phase"
    SERVER = "server"  # acts on the very server that the caller reads from: process ids are per server


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """What the text of a statement tells."""

    kind: Kind
    why: str
    """A short clause for :attr:`fly_orm.Served.why`."""
    name: str | None = None
    """The savepoint, as the server folds it, or the setting in lower case (several are separated by commas)."""
    read_only: bool = False
    """A BEGIN that a replica can serve."""
    simple: bool = False
    """A transaction command that is understood completely, so that it may be delayed."""
    pins: bool = False
    """Leaves state in the session that serves it."""
    resets: bool = False
    """Resets all earlier settings."""
    primary_only: bool = False
    """A setting that a replica refuses, or that would break reads on it."""
    copy: Literal["in", "out"] | None = None
    """The direction of a COPY between client and server."""
    ends_transaction: bool = False
    """Several statements, one of which ends a transaction."""
    function_names: frozenset[str] = frozenset()
    """Of a read: the words, in lower case, that may name a function that it calls."""


def write(why: str, *, pins: bool = False) -> Statement:
    """A statement that needs the primary."""
    return Statement(kind=Kind.WRITE, why=why, pins=pins)
