"""What happened, as a sequence of events. Each process appends its own to a file, which survives its death."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Union

import msgspec

from fly_orm.deadline import now

#: By write, how many rows of it there are: each write inserts rows that carry its name, and are found nowhere else.
Rows = dict[str, int]


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """Something that happened ``at`` an instant of the monotonic clock, which all processes of a machine share."""

    at: float = msgspec.field(default_factory=now)


class Call(msgspec.Struct, frozen=True, array_like=True):
    """One call of the application into its ORM or fly_orm, as part of an operation."""

    what: str
    began: float
    seconds: float
    limit: float
    """How many seconds the call may take."""


class Reading(msgspec.Struct, frozen=True, array_like=True):
    """What a read of a key has shown, when it began, and whether the primary has served it."""

    began: float
    primary: bool
    rows: Rows


class Began(Event, frozen=True, kw_only=True, tag=True):
    """A session of a client process has begun an operation. ``op`` names it, and its rows if it writes."""

    op: str
    process: str
    session: str
    kind: str
    orm: str
    key: int
    """The group of rows that the operation reads and writes."""
    rows: int = 0
    """How many rows it inserts, all of them or none."""
    recorded: bool = False
    """Whether a ledger records it, and it is repeated until its outcome is known."""
    looks_for: str = ""
    """A write with an unknown outcome, if the operation looks what became of it."""


class Ended(Event, frozen=True, kw_only=True, tag=True):
    """An operation has ended, with an error or without."""

    op: str
    error: str = ""
    """The name of the exception's class; empty for success."""
    bases: list[str] = []
    """The names of the exception's classes, fly_orm's first."""
    message: str = ""
    sqlstate: str = ""
    committing: bool = True
    """Whether what the operation writes may have been committed: False before the application has asked for that."""
    undone: bool = False
    """Whether the application rolled back what it had written."""
    looked: int = 0
    """How often the caller has looked for what it had written, as its outcome was unknown, and got an answer."""
    repeated: int = 0
    """How often it has repeated the write: as a look had not found it, or as a ledger makes that harmless."""
    settled_at: float | None = None
    """When an outcome that was unknown is settled, if the error said so."""
    seen: list[Reading] = []
    """The reads of the operation's key, in order."""
    calls: list[Call] = []
    served: str = ""
    """How the last statement was served."""


class Sent(Event, frozen=True, kw_only=True, tag=True):
    """A session has made a token of what it has seen."""

    session: str
    letter: str


class Resumed(Event, frozen=True, kw_only=True, tag=True):
    """A session has resumed a token."""

    session: str
    letter: str


class Paused(Event, frozen=True, kw_only=True, tag=True):
    """A process did not run for some seconds, up to this instant: it was stopped, or the machine was busy."""

    process: str
    seconds: float


class Fault(Event, frozen=True, kw_only=True, tag=True):
    """Something was made to fail."""

    kind: str
    target: str = ""


class Took(Event, frozen=True, kw_only=True, tag=True):
    """The server of a region takes writes now, in a run of which no process knows yet what it is."""

    region: str


class Lost(Event, frozen=True, kw_only=True, tag=True):
    """A failover to a replica that lacked these rows, which the old primary had; it began at ``since``."""

    since: float
    rows: Rows


class Left(Event, frozen=True, kw_only=True, tag=True):
    """What was left at the end, where nothing should be."""

    process: str
    what: str


class Final(Event, frozen=True, kw_only=True, tag=True):
    """The rows on the primary at the end, and when the last of each write was inserted."""

    rows: Rows
    written: dict[str, float] = {}


AnyEvent = Union[Began, Ended, Sent, Resumed, Paused, Fault, Took, Lost, Left, Final]  # noqa: UP007  # evaluated by msgspec
_decoder = msgspec.json.Decoder(AnyEvent)


class Journal:
    """A file of events. Any thread may write; what was written survives the process, but not the machine."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, event: AnyEvent) -> None:
        """Append an event, in one write, so that a process that is killed cuts short the last one at most."""
        os.write(self._file, msgspec.json.encode(event) + b"\n")

    def close(self) -> None:
        os.close(self._file)


def read(folder: Path) -> list[AnyEvent]:
    """The events of all journals in a folder, in order."""
    events = [event for path in sorted(folder.glob("*.jsonl")) for event in _events(path)]
    return sorted(events, key=lambda event: event.at)


def _events(path: Path) -> Iterator[AnyEvent]:
    *lines, _cut_short = path.read_bytes().split(b"\n")
    for line in lines:
        yield _decoder.decode(line)
