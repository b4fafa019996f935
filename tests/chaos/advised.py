"""Does a write as docs/reliability.md advises: after an unknown outcome, look, and repeat what is not there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Event
from typing import Any

from fly_orm.deadline import now

from .notes import Note, told

#: How often a caller looks until it gets an answer, and how long it waits after an error (seconds).
LOOKS, PAUSE = 5, 2.0


#: Gives back a connection that failed.
Leave = Callable[[], Any]


def until_done(note: Note, work: Callable[[], None], look: Callable[[], bool], leave: Leave, over: Event) -> None:
    """Do the work once; ``look`` tells whether it was done.

    Once the process is to end, which ``over`` tells, an outcome stays unknown rather than being waited for.
    """
    while True:
        try:
            return work()
        except Exception as error:
            if (settled_at := told(error)["settled_at"]) is None:
                raise
            note.settled_at = settled_at
            with suppress(Exception):
                leave()
            note.over()
            if over.wait(settled_at - now()):
                raise
            done = _first_answer(look, leave, over)
            if done is None:
                raise
            note.looked += 1
            if done:
                return None
            note.repeated += 1
            note.settled_at = None


def _first_answer(look: Callable[[], bool], leave: Leave, over: Event) -> bool | None:
    """What the first look has found that did not fail; an error of a look says nothing about the write."""
    for _ in range(LOOKS):
        with suppress(Exception):
            return look()
        with suppress(Exception):
            leave()
        if over.wait(PAUSE):
            break
    return None
