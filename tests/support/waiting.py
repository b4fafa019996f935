"""Waiting for what happens elsewhere, and no longer than a busy machine needs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from fly_orm.routing.freshness import Freshness
from fly_orm.testing.contract import tools

PATIENCE = 40.0


def until(condition: Callable[[], object], complaint: str | Callable[[], object] = "it did not happen") -> None:
    """Return once the condition is true; AssertionError if that takes too long."""
    tools.until(condition, PATIENCE, complaint if callable(complaint) else lambda: complaint)


@contextmanager
def once_waited_for(act: Callable[[], object], seconds: float = 0.3) -> Iterator[None]:
    """A block in which ``act`` is called this many seconds after the first wait for a replica has begun.

    It is called at the end of the block if nothing has waited.
    """
    wait, timer = Freshness._wait_for_replica, threading.Timer(seconds, act)

    def waiting(*arguments: object) -> None:
        if not timer.ident:
            timer.start()
        wait(*arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Freshness, "_wait_for_replica", waiting)
        yield
    if timer.ident:
        timer.join()
    else:
        act()
