"""The operations of a history, and what each one's caller was told."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from .history import AnyEvent, Began, Ended


class Fate(enum.Enum):
    """What a caller knows of a write."""

    DONE = "done"
    NEVER = "never done"
    UNKNOWN = "unknown"


#: Errors of fly_orm that say that nothing was executed, and that what was is rolled back.
DECLINED = frozenset(
    {"NotDelivered", "Refused", "TransactionLost", "NotSupported", "NotPortable", "ConfigurationError"}
)
#: Those that say that it was executed.
EXECUTED = frozenset({"ResultLost", "WaitError"})


@dataclass(frozen=True, kw_only=True)
class Operation:
    """An operation; ``ended`` is None if its process did not live to see the end."""

    began: Began
    ended: Ended | None

    @property
    def name(self) -> str:
        return self.began.op

    @property
    def rows(self) -> int:
        """How many rows it inserts, all of them or none; 0 if it only reads."""
        return self.began.rows

    @property
    def fate(self) -> Fate:
        """What its caller knows of what it wrote."""
        return Fate.UNKNOWN if self.ended is None else fate(self.ended)

    @property
    def is_repeated_as_advised(self) -> bool:
        """Whether its caller did it once more, as it was not there when its outcome had to be settled."""
        return self.ended is not None and self.ended.looked > 0 and self.ended.repeated > 0

    @property
    def outcome(self) -> str:
        """How it ended, in a word or two, for tables."""
        if self.ended is None:
            return "process killed"
        return self.ended.error or ("rolled back" if self.ended.undone else "done")

    def __str__(self) -> str:
        began = self.began
        lines = [f"{began.op}: {began.kind} through {began.orm} in session {began.session}, key {began.key}"]
        if self.ended is not None:
            ended = self.ended
            told = f"{ended.error}: {ended.message}" if ended.error else self.outcome
            lines.append(f"  from {began.at:.3f} to {ended.at:.3f}: {told}; {ended.served}")
            lines += [f"  {call.what}: {call.seconds:.3f} s of {call.limit:g} s" for call in ended.calls]
        return "\n".join(lines)


def fate(ended: Ended) -> Fate:
    """What the end of an operation tells of what it wrote."""
    bases = frozenset(ended.bases)
    if not ended.error:
        return Fate.NEVER if ended.undone else Fate.DONE
    if not ended.committing or bases & DECLINED:
        return Fate.NEVER
    if bases & EXECUTED:
        return Fate.DONE
    if "OutcomeUnknown" in bases:
        return Fate.UNKNOWN
    # With an SQLSTATE, Postgres itself has said that the statement, or the COMMIT, failed.
    return Fate.NEVER if ended.sqlstate else Fate.UNKNOWN


def operations(events: Iterable[AnyEvent]) -> dict[str, Operation]:
    """The operations by name, in the order in which they began."""
    events = list(events)
    ends = {event.op: event for event in events if isinstance(event, Ended)}
    return {event.op: Operation(began=event, ended=ends.get(event.op)) for event in events if isinstance(event, Began)}
