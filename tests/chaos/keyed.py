"""Repeats what a session does under one operation key until its outcome is known."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from time import sleep
from typing import Any

import fly_orm
from fly_orm.deadline import Deadline

from .notes import Note, origins

#: Seconds in which an outcome becomes known, as no fault lasts for longer.
PATIENCE = 30.0
INTERVAL = 0.5


def until_known(note: Note, work: Callable[[], None], shop: Any) -> None:
    """Do the work; if its outcome is unknown, repeat it, as an application may that has named the operation."""
    unknown: Exception | None = None
    deadline = Deadline.after(PATIENCE)
    while True:
        try:
            with fly_orm.operation(note.op):
                return work()
        except Exception as error:
            if unknown is not None and _is(error, fly_orm.AlreadyCommitted):
                return None
            unknown = error if _is(error, fly_orm.OutcomeUnknown) else unknown
            if unknown is None or deadline.expired:
                # What a later attempt was told says nothing of the first one.
                raise unknown or error from None
        with suppress(Exception):
            shop.leave()
        note.over()
        sleep(INTERVAL)


def _is(error: Exception, cls: type[Exception]) -> bool:
    return any(isinstance(each, cls) for each in origins(error))
