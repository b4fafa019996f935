"""Judges a history. Pure: it is given what happened, and says what must not have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .history import AnyEvent, Ended, Fault, Left, Paused, Took
from .operations import Fate, Operation, operations
from .reads import Reads
from .violations import Kind, Violation
from .writes import Writes

#: The kind of the fault that kills a client process; its target is the process.
CLIENT_KILLED = "client killed"
#: Seconds for which a connection to a server that has begun to take writes may ask nodes what it is, besides the
#: deadline, and seconds after that in which connections do so.
CHECK, NEW = 5.0, 10.0
#: The roots of the exceptions that a caller expects.
KNOWN = frozenset({"FlyOrmError", "psycopg2.Error", "peewee.PeeweeException", "pony.orm.core.OrmError"})
#: Seconds by which a call may exceed its deadline.
GRACE = 1.0


def check(events: Sequence[AnyEvent]) -> list[Violation]:
    """All promises that were broken, in the order in which that showed."""
    found = operations(events)
    broken = [
        *Writes(found, events).violations(),
        *Reads(found, events).violations(),
        *_late_calls(found, events),
        *_hung(found, events),
        *_foreign(found),
        *_left(events),
        *_unsettled(found),
    ]
    return sorted(broken, key=lambda violation: violation.at)


def _late_calls(found: dict[str, Operation], events: Sequence[AnyEvent]) -> Iterator[Violation]:
    pauses: dict[str, list[Paused]] = {}
    taking: list[Took] = []
    for event in events:
        if isinstance(event, Paused):
            pauses.setdefault(event.process, []).append(event)
        elif isinstance(event, Took):
            taking.append(event)
    for event in events:
        for call in event.calls if isinstance(event, Ended) else ():
            operation = found[event.op]
            ended = call.began + call.seconds
            process = operation.began.process
            paused = sum(_overlap(pause, call.began, ended) for pause in pauses.get(process, ()))
            checked = CHECK * any(
                process.startswith(each.region) and call.began - NEW < each.at < ended for each in taking
            )
            over = call.seconds - paused - checked - call.limit
            if over > GRACE:
                what = (
                    f"{call.what} took {call.seconds:.3f} s ({paused:.3f} s of it paused) instead of {call.limit:g} s"
                )
                yield Violation(kind=Kind.LATE_CALL, at=ended, what=f"{what}\n{operation}")


def _overlap(pause: Paused, began: float, ended: float) -> float:
    """For how many of the seconds between two instants the process was paused."""
    return max(0.0, min(ended, pause.at) - max(began, pause.at - pause.seconds))


def _hung(found: dict[str, Operation], events: Sequence[AnyEvent]) -> Iterator[Violation]:
    killed = {event.target for event in events if isinstance(event, Fault) and event.kind == CLIENT_KILLED}
    for operation in found.values():
        if operation.ended is None and operation.began.process not in killed:
            yield Violation(kind=Kind.HUNG, at=operation.began.at, what=str(operation))


def _foreign(found: dict[str, Operation]) -> Iterator[Violation]:
    for operation in found.values():
        ended = operation.ended
        if ended is not None and ended.error and KNOWN.isdisjoint(ended.bases):
            yield Violation(kind=Kind.FOREIGN, at=ended.at, what=str(operation))


def _left(events: Sequence[AnyEvent]) -> Iterator[Violation]:
    for event in events:
        if isinstance(event, Left):
            yield Violation(kind=Kind.LEFT, at=event.at, what=f"{event.process}: {event.what}")


def _unsettled(found: dict[str, Operation]) -> Iterator[Violation]:
    for operation in found.values():
        ended = operation.ended
        if ended is None or not operation.began.recorded or operation.fate is not Fate.UNKNOWN:
            continue
        if "OutcomeUnknown" in ended.bases:  # a statement that went to the primary directly has no row in the ledger
            yield Violation(kind=Kind.UNSETTLED, at=ended.at, what=str(operation))
