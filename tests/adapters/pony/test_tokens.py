"""Tokens of what a db_session has written, in either region, and what another one then sees."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from pony import orm

import fly_orm
from fly_orm import resume, session, token
from tests.support.pony_regions import LOCAL, PRIMARY, pony_in_lax, route, shop
from tests.support.two_regions import TwoRegions, settings


@pytest.fixture
def both(regions: TwoRegions) -> Iterator[SimpleNamespace]:
    """A shop in syd and the same one in lax."""
    fly_orm.configure(settings("lax"))
    with (
        pony_in_lax(regions, server=regions.cluster.primary, settings=settings("syd")) as syd,
        pony_in_lax(regions, replication_timeout=0.2) as lax,
    ):
        made = SimpleNamespace(syd=shop(syd), lax=None)
        regions.cluster.wait_for_replica()
        made.lax = shop(lax)
        yield made


def names(made: SimpleNamespace) -> list[str]:
    with orm.db_session:
        return list(orm.select(thing.name for thing in made.Thing).order_by(1))


@pytest.mark.parametrize("region", ["syd", "lax"])
@pytest.mark.parametrize("reads", [True, False])
def test_what_a_db_session_has_committed_is_seen_elsewhere(regions, both, region, reads):
    with regions.cluster.replay_paused():
        with session():
            with orm.db_session:
                getattr(both, region).Thing(name="new")
            told = token(reads=reads)
        with session():
            assert names(both.lax) == []
        with session():
            resume(told)
            assert names(both.lax) == ["new"]
            assert route() is PRIMARY
    regions.cluster.wait_for_replica()
    with session():
        resume(told)
        assert names(both.lax) == ["new"]
        assert route() is LOCAL


def test_what_was_only_read_in_the_primary_region_makes_no_token(both):
    with session():
        assert names(both.syd) == []
        assert token(reads=False) == ""
        assert token() != ""
