"""A short run, and one that has to find what is planted. ``make chaos`` runs for longer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from .plants import PLANTS
from .running import run
from .world import world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

#: Those that can be told apart in one run, and the faults that show them soon; none stands for all.
AT_ONCE = [
    (("waiting", "lost", "twice", "halves", "declined", "deadlines", "thread"), ()),
    (("tokens", "late", "transactions"), ("replica late", "stalled for long", "client killed")),
]


def test_no_promise_is_broken_while_everything_fails(tmp_path: Path) -> None:
    with world(tmp_path) as made:
        report = run(made, seconds=8, seed=1)
    assert not report.violations, str(report)
    assert report.faults.total() > 5
    assert report.done > 100


@pytest.mark.parametrize(("plants", "only"), AT_ONCE)
def test_what_is_planted_is_found(tmp_path: Path, plants: Sequence[str], only: Sequence[str]) -> None:
    with world(tmp_path, plants=plants) as made:
        report = run(made, seconds=240, seed=2, only=only)
    assert {PLANTS[name].breaks for name in plants} <= {violation.kind for violation in report.violations}, str(report)


def test_each_plant_is_looked_for() -> None:
    assert {name for plants, _ in AT_ONCE for name in plants} == PLANTS.keys()
