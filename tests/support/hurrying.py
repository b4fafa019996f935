"""Calls that give up soon, among others that have time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def hurried(db: Any, timeout: float) -> Iterator[None]:
    """A block in which each request of a database, or of its runtime, may take this many seconds.

    What a busy machine must not fail, such as the calls that prepare a fault, stays outside of it.
    """
    router = db._fly_orm
    runtime = router._options.runtime
    before = router.settings, runtime.settings
    router.settings, runtime.settings = (each.with_timeouts(rpc_timeout=timeout) for each in before)
    try:
        yield
    finally:
        router.settings, runtime.settings = before
