"""Writes down what a session does, before and after."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fly_orm
from fly_orm.deadline import now

from .history import Began, Call, Ended, Journal, Reading, Rows

RPC_TIMEOUT, REPLICATION_TIMEOUT = 3.0, 1.0
#: What a call may take that executes something and then waits for the replica.
WHOLE = RPC_TIMEOUT + REPLICATION_TIMEOUT


class Note:
    """One operation, while it runs."""

    def __init__(self, op: str) -> None:
        self.op = op
        self.committing = True
        self.undone = False
        self.looked = self.repeated = 0
        """How often the caller looked for what it had written, and did it again."""
        self.settled_at: float | None = None
        """When the outcome of the last attempt is settled, if it is unknown."""
        self._calls: list[Call] = []
        self._seen: list[Reading] = []
        self._ending: tuple[str, float] | None = None

    @contextmanager
    def call(self, what: str, limit: float = WHOLE) -> Iterator[None]:
        """A block that is one call, and may take so long (seconds)."""
        began = now()
        try:
            yield
        finally:
            self._calls.append(Call(what, began, now() - began, limit))

    @contextmanager
    def connecting(self) -> Iterator[None]:
        """A block that connects, before the application has asked for anything."""
        with self.statement("connect"):
            yield
        self.committing = True

    def statement(self, what: str) -> Any:
        """The same for a statement of a transaction, before which the application has not asked for the commit."""
        self.committing = False
        return self.call(what)

    def ends(self, *, commits: bool) -> None:
        """Note that the transaction ends from here on, which takes until the operation is over."""
        self.committing, self.undone = commits, not commits
        self._ending = ("COMMIT" if commits else "end", now())

    @contextmanager
    def reading(self, *, primary: bool | None = None) -> Iterator[Rows]:
        """A block that reads, and puts what it has read into the dict; ``primary`` unless why() is to tell."""
        began, shown = now(), Rows()
        yield shown
        served = fly_orm.why()
        on_primary = served is None or served.route is not fly_orm.Route.LOCAL  # None directly on the primary
        self._seen.append(Reading(began, on_primary if primary is None else primary, shown))

    def ended(self, error: Exception | None) -> Ended:
        """The event of its end."""
        self.over()
        facts: dict[str, Any] = {} if error is None else told(error)
        if self.settled_at is not None:
            facts["settled_at"] = self.settled_at  # the error may be older
        return Ended(
            op=self.op,
            committing=self.committing,
            undone=self.undone,
            looked=self.looked,
            repeated=self.repeated,
            calls=self._calls,
            seen=self._seen,
            served=str(fly_orm.why()),
            **facts,
        )

    def over(self) -> None:
        """Note that the transaction that was ending is over; the operation may go on."""
        if self._ending is not None:
            what, began = self._ending
            self._calls.append(Call(what, began, now() - began, WHOLE))
            self._ending = None


class Diary:
    """What one session does, in order."""

    def __init__(self, journal: Journal, *, process: str, session: str) -> None:
        self.journal = journal
        self.session = session
        self._process = process
        self._numbers = itertools.count(1)
        self.last = ""
        """The latest operation, if it writes."""
        self.error: Exception | None = None
        """What the latest operation has raised."""

    @contextmanager
    def operation(self, kind: str, **facts: Any) -> Iterator[Note]:
        """A block that is an operation. An error that it raises is written down, and raised again.

        The facts are fields of :class:`Began`.
        """
        note = Note(f"{self.session}.{next(self._numbers)}")
        self.last = note.op if facts.get("rows") else ""
        self.journal.write(Began(op=note.op, process=self._process, session=self.session, kind=kind, **facts))
        self.error = None
        try:
            yield note
        except Exception as error:
            self.journal.write(note.ended(error))
            self.error = error
            raise
        self.journal.write(note.ended(None))


def origins(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, and those that an ORM has wrapped in it."""
    while error is not None:
        yield error
        several = getattr(error, "exceptions", None)  # of a commit, as triples like those of sys.exc_info()
        error = several[0][1] if several else getattr(error, "original_exc", None) or getattr(error, "orig", None)


def told(error: Exception) -> dict[str, Any]:
    """What an exception tells, as the fields of :class:`Ended`."""
    each = list(origins(error))
    settled_after = next((one.settled_after for one in each if hasattr(one, "settled_after")), None)
    return {
        "error": type(each[-1]).__name__,
        "bases": list(dict.fromkeys(_name(base) for one in each for base in type(one).__mro__)),
        "message": str(error).strip()[:500],
        "sqlstate": next((one.pgcode for one in each if getattr(one, "pgcode", None)), ""),
        "settled_at": None if settled_after is None else now() + settled_after,
    }


def _name(cls: type) -> str:
    """A class's name, with that of its module unless it is one of fly_orm's."""
    return cls.__name__ if cls.__module__.startswith("fly_orm") else f"{cls.__module__}.{cls.__name__}"
