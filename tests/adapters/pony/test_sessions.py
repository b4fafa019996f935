"""What a db_session does in lax: it reads the replica, its writes are one transaction on the primary, and Pony's checks
find out what it has read too early.
"""

from __future__ import annotations

import datetime
import decimal
import logging
import os
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from pony import orm

import fly_orm
from fly_orm.sessions.context import enter
from fly_orm.sessions.session import Session
from fly_orm.testing.contract.tools import within
from tests.support import two_regions
from tests.support.pony_regions import LOCAL, PRIMARY, pony_in_lax, route, shop, trips
from tests.support.two_regions import TwoRegions, named
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.over_every_transport


@pytest.fixture
def here(regions: TwoRegions) -> Iterator[SimpleNamespace]:
    """A shop in lax with one thing in it, which both regions have."""
    with pony_in_lax(regions) as database:
        made = shop(database)
        with orm.db_session:
            made.Thing(name="first", n=1)
        yield made


@contextmanager
def stale(regions: TwoRegions, *sqls: str) -> Iterator[None]:
    """A block in which the replica has not heard of what these statements do on the primary."""
    with regions.cluster.replay_paused():
        for sql in sqls:
            regions.query(sql)
        yield


def row(name: str, n: int = 1) -> str:
    """The statement that adds a thing."""
    columns = "name, n, long, slow, data, ints, words"
    return f"INSERT INTO thing ({columns}) VALUES ('{name}', {n}, '', '', '{{}}', '{{}}', '{{}}') RETURNING id"


def names(regions: TwoRegions, table: str = "thing") -> list[str]:
    """Those that are stored on the primary."""
    return list(regions.query(f"SELECT coalesce(array_agg(name ORDER BY id), '{{}}') FROM {table}"))


# Where statements run


def test_reads_are_local_until_the_first_write_and_remote_until_the_commit(
    regions: TwoRegions, here: SimpleNamespace
) -> None:
    with orm.db_session:
        assert here.Thing.get(name="first").n == 1
        assert route() is LOCAL
        here.Thing(name="second")
        assert orm.count(t for t in here.Thing) == 2
        assert route() is PRIMARY
        assert here.db.select("name FROM thing ORDER BY id") == ["first", "second"]
        assert route() is PRIMARY
        assert names(regions) == ["first"]
        orm.commit()
        assert names(regions) == ["first", "second"]
        assert here.db.select("name FROM thing ORDER BY id") == ["first", "second"]
        assert route() is LOCAL
        here.Thing(name="third")
        orm.flush()
        assert route() is PRIMARY
    assert names(regions) == ["first", "second", "third"]


def test_reads_after_a_session_that_has_written_are_local_and_see_it(here: SimpleNamespace) -> None:
    for number in range(20):
        with orm.db_session:
            here.Thing(name=str(number))
        with orm.db_session:
            assert here.Thing.get(name=str(number)) is not None
            assert route() is LOCAL


def test_after_a_rollback_in_the_middle_reads_are_local_again(regions: TwoRegions, here: SimpleNamespace) -> None:
    with orm.db_session:
        here.Thing(name="never")
        orm.flush()
        orm.rollback()
        regions.cluster.wait_for_replica()
        assert orm.count(t for t in here.Thing) == 1
        assert route() is LOCAL
        here.Thing(name="second")
    assert names(regions) == ["first", "second"]


def test_an_error_rolls_the_session_back(regions: TwoRegions, here: SimpleNamespace) -> None:
    with pytest.raises(ZeroDivisionError), orm.db_session:
        here.Thing(name="never")
        orm.flush()
        raise ZeroDivisionError
    assert names(regions) == ["first"]
    with pytest.raises(ZeroDivisionError), orm.db_session(allowed_exceptions=[ZeroDivisionError]):
        here.Thing(name="second")
        raise ZeroDivisionError
    assert names(regions) == ["first", "second"]


KINDS = [
    {"immediate": True},
    {"serializable": True},
    {"ddl": True},
    {"optimistic": False},
]


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_a_session_that_nothing_would_tell_of_stale_reads_runs_on_the_primary(
    regions: TwoRegions, here: SimpleNamespace, options: dict[str, Any]
) -> None:
    @orm.db_session(**options)  # type: ignore[untyped-decorator]
    def work() -> None:
        thing = here.Thing.get(name="first")
        assert (thing.n, route()) == (100, PRIMARY)
        here.db.select("1")
        assert route() is PRIMARY
        thing.n += 1
        orm.commit()
        assert orm.count(t for t in here.Thing) == 1
        assert route() is PRIMARY
        assert here.db.exists("SELECT 1 FROM thing")
        assert route() is PRIMARY

    regions.query("UPDATE thing SET n = 100")
    work()
    assert regions.query("SELECT n FROM thing") == 101
    with orm.db_session:
        assert here.Thing.get().n == 101
        assert route() is LOCAL


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_such_a_session_reads_what_the_replica_has_not_heard_of(
    regions: TwoRegions, here: SimpleNamespace, options: dict[str, Any]
) -> None:
    @orm.db_session(**options)  # type: ignore[untyped-decorator]
    def work() -> int:
        return int(here.Thing.get().n)

    with stale(regions, "UPDATE thing SET n = 100"):
        assert orm.db_session(lambda: here.Thing.get().n)() == 1
        assert work() == 100


def test_a_serializable_session_is_one_on_the_primary_and_again_after_a_commit(here: SimpleNamespace) -> None:
    @orm.db_session(serializable=True)  # type: ignore[untyped-decorator]
    def work() -> list[Any]:
        seen = [here.db.select("current_setting('transaction_isolation')")[0]]
        here.Thing(name="second")
        orm.commit()
        return [*seen, here.db.select("current_setting('transaction_isolation')")[0]]

    assert work() == ["serializable", "serializable"]


def test_a_serialization_failure_is_tried_again(regions: TwoRegions, here: SimpleNamespace) -> None:
    attempts: list[int] = []

    @orm.db_session(serializable=True, retry=2)  # type: ignore[untyped-decorator]
    def work() -> None:
        thing = here.Thing.get()
        attempts.append(thing.n)
        if len(attempts) == 1:
            regions.query("UPDATE thing SET n = 100")
        thing.n += 1

    work()
    assert attempts == [1, 100]
    assert regions.query("SELECT n FROM thing") == 101


def test_a_strict_session_reads_the_replica(here: SimpleNamespace) -> None:
    with orm.db_session(strict=True):
        assert here.Thing.get().n == 1
        assert route() is LOCAL
        here.Thing(name="second")
    with orm.db_session(strict=True):
        assert orm.count(t for t in here.Thing) == 2


def test_inside_a_primary_block_a_session_reads_the_primary(regions: TwoRegions, here: SimpleNamespace) -> None:
    with stale(regions, "UPDATE thing SET n = 100"):
        with orm.db_session:
            assert here.Thing.get().n == 1
        with fly_orm.primary(), orm.db_session:
            assert here.Thing.get().n == 100
            assert route() is PRIMARY
        with orm.db_session:  # what has been read is not followed by anything older
            assert here.Thing.get().n == 100
        with fly_orm.replica(), orm.db_session:
            assert here.Thing.get().n == 1


# What it costs


def test_a_session_that_reads_costs_no_round_trips(regions: TwoRegions, here: SimpleNamespace) -> None:
    @orm.db_session  # type: ignore[untyped-decorator]
    def work() -> None:
        thing = here.Thing.get(name="first")
        assert (list(thing.parts), list(thing.tags), thing.slow) == ([], [], "")
        assert orm.count(t for t in here.Thing) == 1
        assert here.db.select("count(*) FROM thing") == [1]
        assert here.db.get("SELECT name FROM thing") == "first"
        assert here.db.exists("SELECT 1 FROM thing")
        assert route() is LOCAL

    assert trips(regions, work) == 0


@pytest.mark.parametrize(("reads", "writes"), [(0, 1), (3, 1), (1, 4)])
def test_a_session_that_writes_costs_a_round_trip_for_each_object_and_one_to_commit(
    regions: TwoRegions, here: SimpleNamespace, reads: int, writes: int
) -> None:
    @orm.db_session  # type: ignore[untyped-decorator]
    def work() -> None:
        for _ in range(reads):
            assert here.db.select("count(*) FROM thing") == [1]
        for number in range(writes):
            here.Thing(name=str(number))

    assert trips(regions, work) == writes + 1


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda s: setattr(s.Thing[1], "n", 2), 2),
        (lambda s: s.Thing[1].delete(), 2),
        (lambda s: s.Thing[1].set(n=2, weight=1.5), 2),
        (lambda s: s.db.insert("owner", name="x"), 2),
        (lambda s: s.db.insert("owner", name="x", returning="id"), 2),
        (lambda s: s.db.execute("UPDATE thing SET n = 2"), 2),
        (lambda s: s.Thing.select().delete(bulk=True), 2),
        (lambda s: s.Thing.get_for_update(name="first"), 2),
        (lambda s: orm.rollback(), 0),
        (lambda s: s.Thing(name="x") and orm.rollback(), 0),
        (lambda s: (s.Thing(name="x"), orm.commit(), s.db.select("1"), orm.commit()), 2),
        (lambda s: (s.Thing(name="x"), orm.flush(), orm.rollback()), 2),
        (lambda s: s.Thing[1].tags.add([s.Tag(name=str(n)) for n in range(5)]), 7),
    ],
    ids=[
        "update", "delete", "set", "insert", "insert returning", "execute", "bulk delete", "get_for_update",
        "rollback", "rollback unflushed", "commit twice", "rollback flushed", "many to many",
    ],
)  # fmt: skip
def test_what_a_session_costs(
    regions: TwoRegions, here: SimpleNamespace, write: Callable[[Any], Any], expected: int
) -> None:
    assert trips(regions, lambda: orm.db_session(write)(here)) == expected


# Raw SQL


def test_select_get_and_exists_are_local(regions: TwoRegions, here: SimpleNamespace) -> None:
    with stale(regions, "UPDATE thing SET n = 100"), orm.db_session:
        assert here.db.select("n FROM thing") == [1]
        assert here.db.get("n FROM thing WHERE name = 'first'") == 1
        assert not here.db.exists("SELECT 1 FROM thing WHERE n = 100")
        assert route() is LOCAL


def test_what_is_executed_runs_in_the_transaction_on_the_primary(regions: TwoRegions, here: SimpleNamespace) -> None:
    with orm.db_session:
        here.db.execute("UPDATE thing SET n = n + 1")
        assert route() is PRIMARY
        here.Thing(name="second")
        assert here.db.execute("SELECT count(*), max(n) FROM thing").fetchone() == (2, 2)
        assert route() is PRIMARY
        assert regions.query("SELECT max(n) FROM thing") == 1
    assert regions.query("SELECT max(n) FROM thing") == 2


def test_a_select_that_is_executed_sees_the_primary(regions: TwoRegions, here: SimpleNamespace) -> None:
    with stale(regions, "UPDATE thing SET n = 100"), orm.db_session:
        assert here.db.execute("SELECT n FROM thing").fetchone() == (100,)
        assert route() is PRIMARY


def test_a_select_that_is_executed_after_a_commit_in_the_middle_sees_the_primary(here: SimpleNamespace) -> None:
    with orm.db_session:
        here.Thing(name="second")
        orm.commit()
        assert here.db.select("count(*) FROM thing") == [2]
        assert route() is LOCAL
        here.db.execute("SELECT n FROM thing")
        assert route() is PRIMARY


def test_a_connection_that_is_asked_for_is_in_a_transaction_on_the_primary(
    regions: TwoRegions, here: SimpleNamespace
) -> None:
    with stale(regions, "UPDATE thing SET n = 100"), orm.db_session:
        cursor = here.db.get_connection().cursor()
        cursor.execute("SELECT n FROM thing")
        assert (cursor.fetchone(), route()) == ((100,), PRIMARY)


def test_what_a_connection_that_is_asked_for_writes_is_committed_with_the_session(
    regions: TwoRegions, here: SimpleNamespace
) -> None:
    with orm.db_session:
        here.db.get_connection().cursor().execute(row("raw"))
        here.Thing(name="second")
        orm.flush()
        assert names(regions) == ["first"]
    assert names(regions) == ["first", "raw", "second"]
    with pytest.raises(ZeroDivisionError), orm.db_session:
        here.db.get_connection().cursor().execute(row("never"))
        raise ZeroDivisionError
    assert names(regions) == ["first", "raw", "second"]


def test_a_lock_of_the_transaction_is_taken_on_the_primary(regions: TwoRegions, here: SimpleNamespace) -> None:
    locked = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711"
    with orm.db_session:
        here.db.execute("SELECT pg_advisory_xact_lock(4711)")
        assert (route(), regions.query(locked)) == (PRIMARY, 1)
        here.Thing(name="second")
        orm.flush()
        assert regions.query(locked) == 1
    assert regions.query(locked) == 0


def test_a_function_that_writes_runs_on_the_primary(regions: TwoRegions, here: SimpleNamespace) -> None:
    regions.query(f"CREATE FUNCTION add() RETURNS int LANGUAGE sql AS $${row('made')}$$")
    regions.cluster.wait_for_replica()
    with orm.db_session:
        assert here.db.select("add()") == [2]
        assert route() is PRIMARY
        assert here.Thing.get(name="made").id == 2
        assert route() is LOCAL
    assert names(regions) == ["first", "made"]


def test_an_insert_returns_what_it_is_asked_for(here: SimpleNamespace) -> None:
    with orm.db_session:
        assert here.db.insert("owner", name="a", returning="id") == 1
        assert here.db.insert("owner", name="b", returning="name") == "b"
        assert here.db.insert(here.Owner, name="c") == 0
        assert route() is PRIMARY
    with orm.db_session:
        assert sorted(o.name for o in here.Owner.select()) == ["a", "b", "c"]


def test_rows_outlive_their_commit(here: SimpleNamespace) -> None:
    with orm.db_session:
        read = here.db.execute("SELECT n FROM generate_series(1, 3) n")
        written = here.db.execute("UPDATE thing SET n = 2 RETURNING name, n")
        orm.commit()
        assert written.description[0][0] == "name"
        assert (written.rowcount, written.fetchall()) == (1, [("first", 2)])
        assert read.fetchall() == [(1,), (2,), (3,)]
    assert read.rowcount == 3


def test_values_and_errors_are_those_of_plain_pony(regions: TwoRegions, here: SimpleNamespace) -> None:
    for executed in ("SELECT 1 / (n - n) FROM thing", "UPDATE thing SET n = 1 / (n - n)", "SELECT nothing"):
        raised = []
        for database in (here.db, orm.Database("postgres", **named(regions.cluster.primary, regions.name))):
            with pytest.raises(orm.dbapiprovider.DBException) as caught, orm.db_session:
                database.execute(executed)
            raised.append((type(caught.value), str(caught.value), caught.value.original_exc.pgcode))
        database.disconnect()
        assert raised[0] == raised[1]


def test_statements_are_shown_to_who_debugs(here: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "pony.orm"), orm.db_session(sql_debug=True, show_values=True):
        assert here.Thing.get(name="first").n == 1
        here.Owner(name="shown")
    shown = caplog.text
    assert 'INSERT INTO "owner" ("name") VALUES (%(p1)s) RETURNING "id"' in shown
    assert "{'p1':'shown'}" in shown
    assert "SWITCH FROM AUTOCOMMIT TO TRANSACTION MODE" in shown
    assert "COMMIT" in shown
    assert "RELEASE CONNECTION" in shown
    assert here.db.last_sql.startswith("INSERT")


# Session settings


def test_a_setting_holds_in_both_regions_until_the_session_ends(here: SimpleNamespace) -> None:
    read = "current_setting('app.tenant', true)"
    with orm.db_session:
        here.db.execute("SET app.tenant = 'one'")
        assert here.db.select(read) == ["one"]
        here.Thing(name="second")
        orm.flush()
        assert (here.db.select(read), route()) == (["one"], PRIMARY)
        orm.commit()
        assert (here.db.select(read), route()) == (["one"], LOCAL)
    with orm.db_session:
        assert here.db.select(read)[0] in (None, "")
        here.Thing(name="third")
        orm.flush()
        assert (here.db.select(read)[0] in (None, ""), route()) == (True, PRIMARY)


def test_a_setting_that_is_made_in_the_transaction_holds_after_its_commit(here: SimpleNamespace) -> None:
    read = "current_setting('app.tenant', true)"
    with orm.db_session:
        here.Thing(name="second")
        orm.flush()
        here.db.execute("SELECT set_config('app.tenant', 'two', false)")
        orm.commit()
        assert (here.db.select(read), route()) == (["two"], LOCAL)
    with orm.db_session:
        assert here.db.select(read)[0] in (None, "")


def test_a_setting_decides_which_rows_are_seen_in_both_regions(regions: TwoRegions, here: SimpleNamespace) -> None:
    """As with row-level security, where a role and a setting say whose rows they are."""
    regions.query(
        "INSERT INTO owner (name) VALUES ('one'), ('two'); ALTER TABLE owner ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY own ON owner USING (name = current_setting('app.tenant', true));"
        f"CREATE ROLE tenant_{regions.name}; GRANT ALL ON ALL TABLES IN SCHEMA public TO tenant_{regions.name};"
        f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO tenant_{regions.name}"
    )
    regions.cluster.wait_for_replica()
    try:
        with orm.db_session:
            here.db.execute(f"SET ROLE tenant_{regions.name}")
            here.db.execute("SELECT set_config('app.tenant', 'two', false)")
            seen = [([o.name for o in here.Owner.select()], route())]
            here.Thing(name="second")
            orm.commit()
            seen.append((here.db.select("name FROM owner"), route()))
            here.Thing(name="third")
            orm.flush()
            seen.append((here.db.select("name FROM owner"), route()))
        assert [rows for rows, _ in seen] == [["two"]] * 3
        assert [where for _, where in seen[1:]] == [LOCAL, PRIMARY]
        with orm.db_session:
            assert orm.count(o for o in here.Owner) == 2
    finally:
        regions.query(f"DROP OWNED BY tenant_{regions.name}; DROP ROLE tenant_{regions.name}")


# Optimistic checks


CHECKED = {
    "name": ("'theirs'", "mine"),
    "n": ("100", 2),
    "price": ("100", decimal.Decimal(2)),
    "day": ("'2000-01-01'", datetime.date(2001, 1, 1)),
    "at": ("'2000-01-01'", datetime.datetime(2001, 1, 1)),
    "uid": (f"'{uuid.UUID(int=1)}'", uuid.UUID(int=2)),
    "raw": ("'theirs'", b"mine"),
    "long": ("'theirs'", "mine"),
    "slow": ("'theirs'", "mine"),
    "data": ("""'{"a": 1}'""", {"a": 2}),
    "ints": ("'{1}'", [2]),
    "words": ("'{theirs}'", ["mine"]),
    "owner": ("2", None),
}


@pytest.mark.parametrize("attribute", CHECKED)
def test_a_write_after_a_stale_read_is_an_error(regions: TwoRegions, here: SimpleNamespace, attribute: str) -> None:
    theirs, mine = CHECKED[attribute]
    with orm.db_session:
        here.Owner(name="1")
        here.Owner(name="2")
        here.Thing[1].owner = here.Owner[1]
    with pytest.raises(orm.OptimisticCheckError, match=attribute), orm.db_session:
        with stale(regions, f"UPDATE thing SET {attribute} = {theirs}"):
            thing = here.Thing.get(id=1)
            getattr(thing, attribute)
            assert route() is LOCAL
        setattr(thing, attribute, mine)
    assert regions.query(f"SELECT {attribute} = {theirs} FROM thing")


def test_an_attribute_that_was_only_asked_about_is_checked(regions: TwoRegions, here: SimpleNamespace) -> None:
    with pytest.raises(orm.OptimisticCheckError, match="n"), orm.db_session:
        with stale(regions, "UPDATE thing SET n = 100"):
            thing = here.Thing.get(n=1)
        thing.weight = 2.0


def test_a_row_that_is_gone_is_an_error(regions: TwoRegions, here: SimpleNamespace) -> None:
    with pytest.raises(orm.OptimisticCheckError), orm.db_session:
        with stale(regions, "DELETE FROM thing"):
            thing = here.Thing.get(name="first")
        thing.n += 1
    assert names(regions) == []


def test_a_check_after_a_commit_in_the_middle_is_against_what_was_committed(
    regions: TwoRegions, here: SimpleNamespace
) -> None:
    with orm.db_session:
        thing = here.Thing.get()
        thing.n += 1
        orm.commit()
        thing.n += 1
        orm.commit()
        assert regions.query("SELECT n FROM thing") == 3
        regions.query("UPDATE thing SET n = 100")
        thing.n += 1
        with pytest.raises(orm.OptimisticCheckError, match=r"n \(3 -> 100\)"):
            orm.flush()
        orm.rollback()


NOT_CHECKED: dict[str, tuple[Any, Any]] = {
    "weight": (lambda thing: setattr(thing, "weight", (thing.weight or 0) + 1.5), 1.5),
    "seen": (lambda thing: setattr(thing, "seen", (thing.seen or 0) + 1), 1),
    "free": (lambda thing: setattr(thing, "free", (thing.free or 0) + 1), 1),
    "n": (lambda thing: setattr(thing, "n", 7), 7),
}


@pytest.mark.parametrize("attribute", NOT_CHECKED)
def test_what_pony_does_not_check_is_overwritten(regions: TwoRegions, here: SimpleNamespace, attribute: str) -> None:
    """A float, a volatile one, one with optimistic=False, and any that is written without having been read."""
    change, stored = NOT_CHECKED[attribute]
    with orm.db_session:
        with stale(regions, f"UPDATE thing SET {attribute} = 100"):
            thing = here.Thing[1]
            if attribute != "n":
                getattr(thing, attribute)
        change(thing)
    assert regions.query(f"SELECT {attribute} FROM thing") == stored


@pytest.mark.parametrize("theirs", ["UPDATE thing SET n = 100", "DELETE FROM thing"])
def test_deleting_what_was_changed_or_deleted_meanwhile_passes(
    regions: TwoRegions, here: SimpleNamespace, theirs: str
) -> None:
    with orm.db_session:
        with stale(regions, theirs):
            thing = here.Thing.get(name="first")
            assert thing.n == 1
        thing.delete()
    assert names(regions) == []


def test_a_lazy_attribute_that_was_read_before_its_row_was_locked_is_overwritten(
    regions: TwoRegions, here: SimpleNamespace
) -> None:
    with orm.db_session:
        with stale(regions, "UPDATE thing SET slow = 'theirs'"):
            assert here.Thing[1].slow == ""
        here.Thing.get_for_update(id=1).slow += "!"
    assert regions.query("SELECT slow FROM thing") == "!"


# Unique values and relations


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

    assert trips(regions, add) == 2
    assert regions.query("SELECT count(*) FROM tag_thing") == 10
    assert trips(regions, remove) == 2
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


# Locks and reading again


def test_a_locked_row_is_read_on_the_primary(regions: TwoRegions, here: SimpleNamespace) -> None:
    with orm.db_session:
        with stale(regions, "UPDATE thing SET n = 100, weight = 1.5"):
            thing = here.Thing.get_for_update(id=1)
            assert (thing.n, route()) == (100, PRIMARY)
        thing.n += 1
        thing.weight += 1
    assert regions.query("SELECT n::text || ' ' || weight FROM thing") == "101 2.5"


def test_locked_rows_are_read_on_the_primary(regions: TwoRegions, here: SimpleNamespace) -> None:
    with orm.db_session:
        here.Owner(name="mine")
    with orm.db_session:
        with stale(regions, "UPDATE owner SET name = 'theirs'"):
            [owner] = here.Owner.select().for_update()
            assert (owner.name, route()) == ("theirs", PRIMARY)
        owner.name += "!"
    assert names(regions, "owner") == ["theirs!"]


def test_a_locked_row_is_locked_on_the_primary(regions: TwoRegions, here: SimpleNamespace) -> None:
    with orm.db_session:
        here.Thing.get_for_update(id=1)
        assert regions.query("SELECT count(*) FROM (SELECT FROM thing FOR UPDATE SKIP LOCKED) free") == 0
    assert regions.query("SELECT count(*) FROM (SELECT FROM thing FOR UPDATE SKIP LOCKED) free") == 1


@pytest.mark.parametrize(
    "lock",
    [lambda s: s.Owner.get_for_update(id=1), lambda s: s.Owner.select().for_update()[:]],
    ids=["get_for_update", "for_update"],
)
def test_locking_a_row_that_was_read_too_early_is_an_error(
    regions: TwoRegions, here: SimpleNamespace, lock: Callable[[Any], Any]
) -> None:
    with orm.db_session:
        here.Owner(name="mine")
    with pytest.raises(orm.UnrepeatableReadError, match="name"), orm.db_session:
        with stale(regions, "UPDATE owner SET name = 'theirs'"):
            assert here.Owner[1].name == "mine"
        lock(here)


def test_reading_again_in_the_transaction_what_has_changed_is_an_error(
    regions: TwoRegions, here: SimpleNamespace
) -> None:
    with pytest.raises(orm.UnrepeatableReadError, match="n"), orm.db_session:
        with stale(regions, "UPDATE thing SET n = 100"):
            assert here.Thing[1].n == 1
        here.Owner(name="x")
        here.Thing.select()[:]


def test_reading_in_the_transaction_refreshes_what_has_not_been_read(
    regions: TwoRegions, here: SimpleNamespace
) -> None:
    with orm.db_session:
        with stale(regions, "UPDATE thing SET n = 100"):
            thing = here.Thing[1]
            assert here.Thing.select()[:] == [thing]
        here.Owner(name="x")
        assert here.Thing.select()[:] == [thing]
        assert route() is PRIMARY
        assert thing.n == 100


# Trying again


@pytest.mark.parametrize("retry", [1, 3])
def test_what_met_newer_data_does_not_read_the_older_again(
    regions: TwoRegions, here: SimpleNamespace, retry: int
) -> None:
    attempts: list[int] = []

    @orm.db_session(retry=retry)  # type: ignore[untyped-decorator]
    def work() -> None:
        thing = here.Thing.get()
        attempts.append(thing.n)
        thing.n += 1
        orm.flush()

    with stale(regions, "UPDATE thing SET n = 100"):
        here.db._fly_orm.settings = regions.lax_settings(replication_timeout=0.05)
        work()
    assert attempts == [1, 100]
    assert regions.query("SELECT n FROM thing") == 101


def test_a_get_or_create_that_met_newer_data_finds_it_when_tried_again(
    regions: TwoRegions, here: SimpleNamespace
) -> None:
    attempts: list[Any] = []

    @orm.db_session(retry=1)  # type: ignore[untyped-decorator]
    def work() -> int:
        attempts.append(here.Thing.get(name="theirs"))
        thing = attempts[-1] or here.Thing(name="theirs")
        orm.flush()
        return int(thing.id)

    with stale(regions, row("theirs")):
        assert work() == 2
    assert (len(attempts), attempts[0]) == (2, None)


def test_after_such_an_attempt_other_threads_still_read_the_replica(regions: TwoRegions, here: SimpleNamespace) -> None:
    with stale(regions, "UPDATE thing SET n = 100"):
        with pytest.raises(orm.OptimisticCheckError), orm.db_session:
            here.Thing.get().n += 1
        with orm.db_session:
            assert (here.Thing.get().n, route()) == (100, PRIMARY)
        assert within(PATIENCE, lambda: orm.db_session(lambda: (here.Thing.get().n, route()))()) == (1, LOCAL)
    regions.cluster.wait_for_replica()
    with orm.db_session:
        assert (here.Thing.get().n, route()) == (100, LOCAL)


# Generators


def test_a_suspended_generator_goes_on_where_it_was(regions: TwoRegions, here: SimpleNamespace) -> None:
    @orm.db_session  # type: ignore[untyped-decorator]
    def work() -> Iterator[Any]:
        thing = here.Thing.get(name="first")
        yield thing.n, route()
        yield orm.count(t for t in here.Thing), route()
        thing.n += 1
        orm.commit()
        yield here.db.select("n FROM thing WHERE name = 'first'")[0], None
        thing.n += 1

    steps = work()
    assert next(steps) == (1, LOCAL)
    with orm.db_session:
        here.Thing(name="second")
    with orm.db_session(optimistic=False):
        assert orm.count(t for t in here.Thing) == 2
    assert next(steps) == (2, LOCAL)
    with pytest.raises(orm.core.TransactionError, match="commit"):
        next(steps)
    assert regions.query("SELECT n FROM thing WHERE name = 'first'") == 2


def test_a_suspended_generator_may_have_written_and_committed(regions: TwoRegions, here: SimpleNamespace) -> None:
    @orm.db_session  # type: ignore[untyped-decorator]
    def work() -> Iterator[int]:
        thing = here.Thing.get(name="first")
        while True:
            thing.n += 1
            orm.commit()
            yield thing.n

    steps = work()
    for number in range(2, 6):
        assert next(steps) == number
        assert regions.query("SELECT n FROM thing WHERE name = 'first'") == number
        with orm.db_session:
            here.Thing(name=str(number))
        with orm.db_session:
            assert here.Thing.get(name="first").n == number
            assert route() is LOCAL
    steps.close()


def test_a_generator_may_not_be_suspended_with_what_is_not_committed(
    regions: TwoRegions, here: SimpleNamespace
) -> None:
    @orm.db_session  # type: ignore[untyped-decorator]
    def work() -> Iterator[None]:
        here.Thing(name="never")
        orm.flush()
        yield

    with pytest.raises(orm.core.TransactionError, match="commit"):
        next(work())
    assert names(regions) == ["first"]


def test_two_generators_take_turns(regions: TwoRegions, here: SimpleNamespace) -> None:
    @orm.db_session  # type: ignore[untyped-decorator]
    def work(name: str) -> Iterator[int]:
        for number in range(3):
            here.Thing(name=f"{name}{number}")
            orm.commit()
            yield number

    assert list(zip(work("a"), work("b"), strict=True)) == [(0, 0), (1, 1), (2, 2)]
    assert names(regions) == ["first", "a0", "b0", "a1", "b1", "a2", "b2"]


# Several at once


def test_a_session_inside_another_is_part_of_it(regions: TwoRegions, here: SimpleNamespace) -> None:
    @orm.db_session  # type: ignore[untyped-decorator]
    def inner() -> None:
        here.Thing(name="inner")
        orm.flush()

    with orm.db_session:
        here.Thing(name="outer")
        inner()
        assert route() is PRIMARY
        with orm.db_session(optimistic=False):
            assert orm.count(t for t in here.Thing) == 3
        assert names(regions) == ["first"]
    assert names(regions) == ["first", "outer", "inner"]


def test_several_databases_in_one_session_each_keep_to_their_own(regions: TwoRegions, here: SimpleNamespace) -> None:
    other = f"{regions.name}_b"
    regions.cluster.create_database(other)
    regions.cluster.wait_for_replica()
    second = orm.Database("postgres", **named(regions.cluster.primary, other))
    made = shop(second)
    regions.cluster.wait_for_replica()
    with orm.db_session:
        assert here.Thing.get().n == 1
        here.Thing(name="here")
        made.Owner(name="there")
        assert orm.count(o for o in made.Owner) == 1
        assert orm.count(t for t in here.Thing) == 2
        assert route() is PRIMARY
    assert names(regions) == ["first", "here"]
    with orm.db_session:
        assert here.Thing.get(name="here") is not None
        assert route() is LOCAL
        assert made.Owner.get().name == "there"
    with pytest.raises(ZeroDivisionError), orm.db_session:
        here.Thing(name="never")
        made.Owner(name="never")
        orm.flush()
        raise ZeroDivisionError
    assert names(regions) == ["first", "here"]
    second.disconnect()
    regions.cluster.drop_database(other)


def test_threads_read_what_they_have_written(here: SimpleNamespace) -> None:
    def work(thread: int) -> int:
        enter(Session())
        local = 0
        for number in range(20):
            with orm.db_session:
                here.Thing(name=f"{thread} {number}")
            with orm.db_session:
                assert here.Thing.get(name=f"{thread} {number}") is not None
                local += route() is LOCAL
        here.db.disconnect()
        return local

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(8))) == [20] * 8
    with orm.db_session:
        assert orm.count(t for t in here.Thing) == 161


def test_a_thread_has_a_connection_and_a_transaction_of_its_own(regions: TwoRegions, here: SimpleNamespace) -> None:
    def other() -> int:
        with orm.db_session:
            here.Thing(name="other")
        with orm.db_session:
            counted = orm.count(t for t in here.Thing)
        here.db.disconnect()
        return int(counted)

    with orm.db_session:
        here.Thing(name="mine")
        orm.flush()
        assert within(PATIENCE, other) == 2
        assert names(regions) == ["first", "other"]
    assert names(regions) == ["first", "mine", "other"]


def test_a_forked_child_leaves_its_parents_transaction_alone(regions: TwoRegions, here: SimpleNamespace) -> None:
    two_regions.way.require_processes()
    with orm.db_session:
        here.Thing(name="parent")
        orm.flush()
        child = os.fork()
        if child == 0:
            os._exit(status_of(lambda: work_in_a_child(here)))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        here.Thing(name="parent again")
    assert names(regions) == ["first", "parent", "child", "parent again"]
    with orm.db_session:
        assert orm.count(t for t in here.Thing) == 4


def status_of(work: Callable[[], None]) -> int:
    try:
        work()
    except BaseException:
        return 1
    return 0


def work_in_a_child(here: SimpleNamespace) -> None:
    """What Pony leaves to a child: the parent's session is none of its business."""
    orm.core.local.db2cache.clear()
    orm.core.local.db_context_counter, orm.core.local.db_session = 0, None
    with orm.db_session:
        here.Thing(name="child")
    with orm.db_session:
        assert here.Thing.get(name="child") is not None
        assert route() is LOCAL


def test_a_child_that_is_forked_between_sessions_works(regions: TwoRegions, here: SimpleNamespace) -> None:
    two_regions.way.require_processes()
    child = os.fork()
    if child == 0:
        os._exit(status_of(lambda: work_in_a_child(here)))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with orm.db_session:
        assert here.Thing.get(name="child") is not None
        here.Thing(name="parent")
    assert names(regions) == ["first", "child", "parent"]
