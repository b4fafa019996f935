"""Directories that are closed in the end."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from fly_orm.forwarding.directory import Directory
from tests.forwarding.nodes import NEVER, Refusing
from tests.support.threads import ending_threads
from tests.support.two_regions import settings


@pytest.fixture
def make():
    """Makes directories that are closed in the end; no node can be reached unless there is a transport to it."""
    with ExitStack() as undo:

        def make(discovery, transport=None, *, first_interval=NEVER, longest_interval=NEVER, kind="static"):
            given = {"first_interval": first_interval, "longest_interval": longest_interval}
            made = Directory(settings("lax", discovery=kind), transport or Refusing(), discovery, **given)
            undo.callback(made.close)
            return made

        yield make


@pytest.fixture
def threads(monkeypatch):
    """Those of fly_orm that the test has started. None outlives it."""
    monkeypatch.setattr("fly_orm.concurrency.timer.LINGER", 0.05)
    with ending_threads() as present:
        yield present
