"""A short hunt, and what it would find if fly_orm did without one of its rules. ``make hunt`` hunts for longer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hunt.running import run
from tests.hunt.trouble import KINDS
from tests.hunt.world import World, world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def servers() -> Iterator[World]:
    with world() as servers:
        yield servers


def test_no_user_sees_an_older_value_than_they_have_seen(servers: World) -> None:
    bag = run(servers, seconds=20, seed=1)
    assert (bag.stale, bag.found.broken) == ([], []), str(bag)
    assert {kind for kind, _ in KINDS} <= {event.kind for event in bag.events}
    assert bag.reads > 100
    assert bag.local > 50


@pytest.mark.parametrize("plant", ["believe", "tokens"])
def test_the_hunt_finds_what_there_is_to_be_found(servers: World, plant: str) -> None:
    servers.reset()
    assert run(servers, seconds=240, seed=2, plants=[plant]).stale  # it ends with the first one found
