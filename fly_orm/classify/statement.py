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
    """What the text of a statement tells.

    name: of the savepoint, as the server folds it, or of the setting in lower case (of several, separated by commas);
    None if it cannot be told. read_only: a BEGIN that a replica can serve. simple: a transaction command that is known
    completely, so that it may be delayed. pins: leaves state in the session that serves it. resets: forgets all earlier
    settings. primary_only: a setting that a replica refuses, or that would break reads on it. copy: the direction of a
    COPY with the client. ends: several statements, one of which ends a transaction. calls: of a read, the words that
    may name a function that it calls, in lower case.
    """

    kind: Kind
    why: str
    name: str | None = None
    read_only: bool = False
    simple: bool = False
    isolation: str | None = None
    pins: bool = False
    resets: bool = False
    primary_only: bool = False
    copy: Literal["in", "out"] | None = None
    ends: bool = False
    calls: frozenset[str] = frozenset()


def write(why: str, *, pins: bool = False) -> Statement:
    """A statement that needs the primary."""
    return Statement(kind=Kind.WRITE, why=why, pins=pins)
