"""Unique values and relations that the replica has not heard of yet."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from pony import orm

from tests.support.pony_regions import names, row, stale
from tests.support.two_regions import TwoRegions, trips

pytestmark = [pytest.mark.over_every_transport(quick=True), pytest.mark.usefixtures("no_spare_channels")]


def test_a_stale_get_or_create_is_an_error_of_the_transaction(regions: TwoRegions, here: SimpleNamespace) -> None:
    with pytest.raises(orm.TransactionIntegrityError) as raised, orm.db_session:
        with stale(regions, row("theirs")):
            thing = here.Thing.get(name="theirs")
        assert thing is None
        here.Thing(name="theirs")
    assert raised.value.original_exc.original_exc.diag.constraint_name == "thing_name_key"
    assert regions.query("SELECT count(*) FROM thing WHERE name = 'theirs'") == 1


def test_a_stale_get_or_create_by_a_composite_key_is_one_too(regions: TwoRegions, here: SimpleNamespace) -> None:
    with pytest.raises(orm.TransactionIntegrityError), orm.db_session:
        with stale(regions, "INSERT INTO place (x, y) VALUES (1, 2)"):
            assert here.Place.get(x=1, y=2) is None
        here.Place(x=1, y=2)
    assert regions.query("SELECT count(*) FROM place") == 1


def test_deleting_cascades_to_what_the_replica_has_not_heard_of(regions: TwoRegions, here: SimpleNamespace) -> None:
    with orm.db_session:
        here.Part(name="seen", thing=here.Thing[1])
    with orm.db_session:
        with stale(regions, "INSERT INTO part (name, thing) VALUES ('unseen', 1)"):
            thing = here.Thing[1]
            assert [part.name for part in thing.parts] == ["seen"]
        thing.delete()
    assert (names(regions), names(regions, "part")) == ([], [])


def test_deleting_what_has_unseen_dependents_without_cascade_is_an_error(
    regions: TwoRegions, here: SimpleNamespace
) -> None:
    with pytest.raises(orm.IntegrityError) as raised, orm.db_session:
        with stale(regions, "INSERT INTO note (text, thing) VALUES ('unseen', 1)"):
            thing = here.Thing[1]
            assert list(thing.notes) == []
        thing.delete()
    assert not isinstance(raised.value, orm.core.TransactionError)
    assert raised.value.original_exc.pgcode == "23503"
    assert names(regions) == ["first"]


def tagged(here: SimpleNamespace) -> None:
    with orm.db_session:
        here.Thing[1].tags.add(here.Tag(name="a"))
        here.Tag(name="b")


def test_adding_a_link_that_exists_is_an_integrity_error(regions: TwoRegions, here: SimpleNamespace) -> None:
    tagged(here)
    theirs = "INSERT INTO tag_thing (tag, thing) VALUES (2, 1)"
    with pytest.raises(orm.IntegrityError) as raised, orm.db_session, stale(regions, theirs):
        here.Thing[1].tags.add(here.Tag[2])
    assert not isinstance(raised.value, orm.core.TransactionError)
    assert regions.query("SELECT count(*) FROM tag_thing") == 2


def test_removing_a_link_that_is_gone_passes(regions: TwoRegions, here: SimpleNamespace) -> None:
    tagged(here)
    with orm.db_session, stale(regions, "DELETE FROM tag_thing"):
        thing, tag = here.Thing[1], here.Tag[1]
        thing.tags.remove(tag)
    assert regions.query("SELECT count(*) FROM tag_thing") == 0


def test_links_travel_together(regions: TwoRegions, here: SimpleNamespace) -> None:
    with orm.db_session:
        for number in range(10):
            here.Tag(name=str(number))

    @orm.db_session  # type: ignore[untyped-decorator]
    def add() -> None:
        here.Thing[1].tags.add(list(here.Tag.select()))

    @orm.db_session  # type: ignore[untyped-decorator]
    def remove() -> None:
        here.Thing[1].tags.clear()

    assert trips(regions, add) == 1
    assert regions.query("SELECT count(*) FROM tag_thing") == 10
    assert trips(regions, remove) == 1
    assert regions.query("SELECT count(*) FROM tag_thing") == 0


def test_a_collection_that_was_read_stays_as_it_was_and_a_query_shows_it_as_it_is(
    regions: TwoRegions, here: SimpleNamespace
) -> None:
    tagged(here)
    with orm.db_session:
        with stale(regions, "INSERT INTO tag_thing (tag, thing) VALUES (2, 1)"):
            thing = here.Thing[1]
            assert [tag.name for tag in thing.tags] == ["a"]
        here.Owner(name="x")
        orm.flush()
        assert [tag.name for tag in thing.tags] == ["a"]
        assert here.db.select("count(*) FROM tag_thing") == [2]
