"""A short run, and one that has to find what is planted. ``make chaos`` runs for longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from .plants import PLANTS
from .running import run
from .world import world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

#: Those that can be told apart in one run.
AT_ONCE = ("waiting", "lost", "twice", "halves", "declined", "deadlines", "thread")


def test_no_promise_is_broken_while_everything_fails(tmp_path: Path) -> None:
    with world(tmp_path) as made:
        report = run(made, seconds=8, seed=1)
    assert not report.violations, str(report)
    assert report.faults.total() > 5
    assert report.done > 100


def test_what_is_planted_is_found(tmp_path: Path) -> None:
    with world(tmp_path, plants=AT_ONCE) as made:
        report = run(made, seconds=4, seed=2)
    assert {PLANTS[name].breaks for name in AT_ONCE} <= {violation.kind for violation in report.violations}, str(report)
