"""Pony's session cache, whose flushes send what they write in as few requests as possible."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from pony.orm import core

from .entities import open_if_allowed
from .plan import Plan

#: Pony's ``commit()`` flushes all databases before it commits the first. Nothing else tells such a flush from another.
_COMMIT = inspect.unwrap(core.commit).__code__


class FlushingCache(core.SessionCache):  # type: ignore[misc]  # Pony has no types
    """Has a plan while it flushes: what the flush is going to write, and whether a commit follows."""

    plan: Plan | None = None
    failed_commit: BaseException | None = None
    """The error of a COMMIT that was sent with the last flush, to be raised when Pony commits."""
    _commits = False
    """Whether Pony commits as soon as the flush is over."""
    _flushing = False

    def flush_and_commit(self) -> None:
        self._commits = True
        try:
            super().flush_and_commit()
        finally:
            self._commits = False

    def flush(self) -> None:
        if self._flushing or self.noflush_counter:  # a hook flushes, and has to go on when this returns
            before, self._commits = self._commits, False
            try:
                super().flush()
            finally:
                self._commits = before
            return
        before, self._flushing = self._commits, True
        self._commits = before or sys._getframe(1).f_code is _COMMIT
        try:
            super().flush()
        finally:
            self._commits, self._flushing, self.plan = before, False, None

    def _calc_modified_m2m(self) -> Any:
        """What Pony calls in a flush once the hooks before it have run."""
        modified = super()._calc_modified_m2m()
        self.plan = Plan(self, modified, commits=self._commits)
        return modified


def use_flushing_caches(database: Any) -> None:
    """Let the db_sessions of a database flush according to a plan."""
    get_cache, caches = database._get_cache, core.local

    def flushing_cache() -> Any:
        cache = caches.db2cache.get(database)
        if cache is None:
            open_if_allowed()
            cache = get_cache()
            cache.__class__ = FlushingCache
        return cache

    database._get_cache = flushing_cache
