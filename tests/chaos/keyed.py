"""Repeats what a session does under one operation key until its outcome is known."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Event
from time import sleep
from typing import Any

import fly_orm
from fly_orm.deadline import Deadline

from .history import Ended
from .notes import Note, origins, told
from .operations import Fate, fate

#: Seconds in which an outcome becomes known once nothing fails any more. While much fails, nodes may be unable to find
#: out which server is the primary for longer than any single fault lasts.
PATIENCE = 8.0
INTERVAL = 0.5


def until_known(note: Note, work: Callable[[], None], shop: Any, over: Event) -> None:
    """Do the work; if its outcome is unknown, repeat it, as an application may that has named the operation.

    ``over`` is set when the process is to end, by when all faults have ended.
    """
    unknown: Exception | None = None
    committing = False
    deadline: Deadline | None = None
    while True:
        try:
            with fly_orm.operation(note.op):
                return work()
        except Exception as error:
            if unknown is not None and (_is(error, fly_orm.AlreadyCommitted) or _is(error, fly_orm.ResultLost)):
                return None
            if _is_unknown(error, note):
                unknown, committing = error, committing or note.committing
            if unknown is None:
                raise
            if over.is_set() and deadline is None:
                deadline = Deadline.after(PATIENCE)
            if deadline is not None and deadline.expired:
                note.committing = committing  # what a later attempt was told says nothing of the first one
                raise unknown from None
        with suppress(Exception):
            shop.leave()
        note.over()
        note.repeated += 1
        sleep(INTERVAL)


def _is_unknown(error: Exception, note: Note) -> bool:
    """Whether an outcome is unknown: of the write, or of a read before it, which is as harmless to repeat."""
    ended = Ended(op=note.op, committing=note.committing, **told(error))
    return fate(ended) is Fate.UNKNOWN or "OutcomeUnknown" in ended.bases


def _is(error: Exception, cls: type[Exception]) -> bool:
    return any(isinstance(each, cls) for each in origins(error))
