"""Checks what became of each write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .history import AnyEvent, Final, Lost
from .operations import Fate, Operation
from .violations import Kind, Violation

#: By how many seconds a write may seem to be later than it was, as two clocks were read one after the other.
CLOCKS = 0.1


@dataclass(frozen=True, kw_only=True)
class Look:
    """A look on the primary for a write with an unknown outcome, and whether it was there."""

    at: float
    found: bool


class Writes:
    """Compares what callers were told with what the primary has at the end, and with what failovers have lost."""

    def __init__(self, operations: dict[str, Operation], events: Sequence[AnyEvent]) -> None:
        self._operations = operations
        self._final = next(event for event in reversed(events) if isinstance(event, Final))
        self._losses = [event for event in events if isinstance(event, Lost)]
        self._looks: dict[str, list[Look]] = {}
        for operation in operations.values():
            for look in _conclusive(operation, operations):
                self._looks.setdefault(operation.began.looks_for, []).append(look)

    @property
    def lost(self) -> dict[str, int]:
        """The rows that failovers have lost."""
        return {op: rows for loss in self._losses for op, rows in loss.rows.items()}

    @property
    def looked_for(self) -> int:
        """How many unknown outcomes were looked for at a time at which that was conclusive."""
        return len(self._looks)

    def violations(self) -> Iterator[Violation]:
        """All that is wrong with the writes."""
        for operation in self._operations.values():
            if operation.rows:
                for kind, what in self._faults(operation):
                    yield self._violation(kind, f"{what}\n{operation}")
        for op in (self._final.rows.keys() | self.lost.keys()) - self._operations.keys():
            yield self._violation(Kind.STRANGE, f"rows of {op!r}, which nobody wrote")

    def _faults(self, operation: Operation) -> Iterator[tuple[Kind, str]]:
        found = [self._final.rows.get(operation.name, 0), self.lost.get(operation.name, 0)]
        told = f"{found[0]} of {operation.rows} rows at the end, and {found[1]} lost by failovers"
        if max(found) > operation.rows:
            # If a look had not found it, an attempt has taken effect after its outcome was settled.
            yield (Kind.LATE_WRITE if operation.is_repeated_as_advised else Kind.TWICE), told
        if any(0 < rows < operation.rows for rows in found):
            yield Kind.HALF, told
        if operation.fate is Fate.DONE and not any(found):
            yield Kind.LOST, told
        lost_since = next((loss.since for loss in self._losses if operation.name in loss.rows), None)
        if operation.fate is Fate.NEVER and (found[0] or not self._was_lost_before(operation, lost_since)):
            yield Kind.DECLINED, told
        yield from self._late(operation)
        yield from self._changed(operation, lost_since, present=found[0] > 0)

    def _was_lost_before(self, operation: Operation, lost_since: float | None) -> bool:
        """Whether there was nothing, not even on a primary that was superseded later, when its caller was told so."""
        assert operation.ended is not None
        return lost_since is None or lost_since <= operation.ended.at

    def _late(self, operation: Operation) -> Iterator[tuple[Kind, str]]:
        """Whether it was written after its outcome was settled."""
        written = self._final.written.get(operation.name)
        settled = operation.ended.settled_at if operation.ended else None
        if written is not None and settled is not None and written > settled + CLOCKS:
            yield Kind.LATE_WRITE, f"written at {written:.3f}, {written - settled:.3f} s after it was settled"

    def _changed(self, operation: Operation, lost_since: float | None, *, present: bool) -> Iterator[tuple[Kind, str]]:
        """What has changed since somebody looked for it."""
        looks = self._looks.get(operation.name, [])
        absent = next((look for look in looks if not look.found), None)
        if absent is not None and (present or (lost_since is not None and absent.at < lost_since)):
            yield Kind.LATE_WRITE, f"looked for and not found at {absent.at:.3f}, and applied all the same"
        if any(look.found for look in looks) and not present and lost_since is None:
            yield Kind.LOST, "looked for and found, and lost at the end"

    def _violation(self, kind: Kind, what: str) -> Violation:
        return Violation(kind=kind, at=self._final.at, what=what)


def _conclusive(look: Operation, operations: dict[str, Operation]) -> Iterator[Look]:
    """What a look has found, if it began when the outcome had to be settled."""
    target = operations.get(look.began.looks_for)
    if target is None or target.ended is None or look.ended is None:
        return
    settled = target.ended.settled_at
    for reading in look.ended.seen:
        if settled is not None and reading.began >= settled:
            yield Look(at=reading.began, found=target.name in reading.rows)
