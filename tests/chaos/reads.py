"""Checks that no session reads anything older than what it has seen, and that nobody sees half of a transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .history import AnyEvent, Began, Ended, Lost, Reading, Resumed, Sent
from .operations import Fate, Operation, fate
from .violations import Kind, Violation

#: Postgres flushes a commit, which a replica may then show, an instant before the primary itself shows it. So a read
#: on the primary may lack what only a replica has shown, for as long as a backend may wait for a busy core.
HEAD_START = 1.0


@dataclass(frozen=True, kw_only=True)
class Sight:
    """When a session, or one whose token it has resumed, saw a write; and whether only a replica has shown it yet."""

    at: float
    only_on_a_replica: bool


#: What a session has seen: writes, by key.
Seen = dict[int, dict[str, Sight]]


class Reads:
    """Follows what each session has seen, in the order of events."""

    def __init__(self, operations: dict[str, Operation], events: Sequence[AnyEvent]) -> None:
        self._operations = operations
        self._events = events
        self._losses = [event for event in events if isinstance(event, Lost)]
        self._seen: dict[str, Seen] = {}
        self._letters: dict[str, Seen] = {}

    def violations(self) -> Iterator[Violation]:
        """All that is wrong with the reads."""
        for event in self._events:
            match event:
                case Began(session=session):
                    self._seen.setdefault(session, {})
                case Sent(session=session, letter=letter):
                    self._letters[letter] = {key: dict(seen) for key, seen in self._seen.get(session, {}).items()}
                case Resumed(session=session, letter=letter):
                    self._resume(self._seen.setdefault(session, {}), self._letters.get(letter, {}))
                case Ended():
                    yield from self._ended(event)

    def _resume(self, own: Seen, told: Seen) -> None:
        for key, seen in told.items():
            own[key] = seen | own.get(key, {})

    def _ended(self, ended: Ended) -> Iterator[Violation]:
        began = self._operations[ended.op].began
        seen = self._seen[began.session].setdefault(began.key, {})
        for reading in ended.seen:
            for kind, what in self._faults(began, ended, reading, seen):
                yield Violation(kind=kind, at=ended.at, what=f"{what}\n{self._operations[ended.op]}")
            for op in reading.rows.keys() - {began.op}:
                if reading.primary or op not in seen:
                    seen[op] = Sight(at=ended.at, only_on_a_replica=not reading.primary)
        if began.rows and fate(ended) is Fate.DONE and not ended.error:
            seen[began.op] = Sight(at=ended.at, only_on_a_replica=False)

    def _faults(
        self, began: Began, ended: Ended, reading: Reading, seen: dict[str, Sight]
    ) -> Iterator[tuple[Kind, str]]:
        when = f"a read at {reading.began:.3f}"
        for op in seen.keys() - reading.rows.keys():
            if not self._may_lack(op, seen[op], ended, reading):
                yield Kind.STALE, f"{when} lacks {op}, which was seen at {seen[op].at:.3f}\n{self._told(op)}"
        for op, rows in reading.rows.items():
            operation = self._operations.get(op)
            if operation is None or op == began.op:
                continue
            if rows != operation.rows:
                kind = Kind.HALF if rows < operation.rows else Kind.TWICE
                yield kind, f"{when} shows {rows} of {operation.rows} rows\n{operation}"
            if operation.fate is Fate.NEVER and not self._was_lost_before(operation):
                yield Kind.DECLINED, f"{when} shows it\n{operation}"

    def _may_lack(self, op: str, sight: Sight, ended: Ended, reading: Reading) -> bool:
        if any(op in loss.rows and ended.at >= loss.since for loss in self._losses):
            return True
        return reading.primary and sight.only_on_a_replica and reading.began < sight.at + HEAD_START

    def _was_lost_before(self, operation: Operation) -> bool:
        """Whether a failover had lost the write when its caller was told so: a read on the old primary may show it."""
        assert operation.ended is not None
        told = operation.ended.at
        return any(operation.name in loss.rows and loss.since <= told for loss in self._losses)

    def _told(self, op: str) -> str:
        return str(self._operations.get(op, ""))
