"""What a flush sends together raises, stores and leaves in the session cache what Pony does by itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import msgspec
import psycopg2
import pytest
from pony import orm

from fly_orm.adapters.pony import plan
from fly_orm.protocol.encoding import decode_request
from fly_orm.protocol.messages import Run
from fly_orm.serving import channel_executor
from tests.support.pony_regions import close, pony_in_lax
from tests.support.two_regions import TwoRegions, named, trips

SETUP = """
    CREATE TABLE item (id serial PRIMARY KEY, name text UNIQUE, n int NOT NULL CHECK (n < 1000), seen int);
    CREATE TABLE part (item int REFERENCES item ON DELETE CASCADE, number int, PRIMARY KEY (item, number));
    CREATE TABLE tag (id serial PRIMARY KEY, name text);
    CREATE TABLE item_tag (item int REFERENCES item ON DELETE CASCADE, tag int REFERENCES tag, PRIMARY KEY (item, tag));
    CREATE TABLE noted (id serial PRIMARY KEY, name text,
        item int REFERENCES item DEFERRABLE INITIALLY DEFERRED);
    CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN IF NEW.name = ''skipped'' THEN RETURN NULL; END IF; RETURN NEW; END';
    CREATE TRIGGER skip BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION skip();
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN IF NEW.name = ''fails late'' THEN RAISE EXCEPTION ''late''; END IF; RETURN NEW; END';
    CREATE CONSTRAINT TRIGGER fail AFTER INSERT OR UPDATE ON item DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION fail();
"""
ROWS = """
    TRUNCATE item, part, tag, item_tag, noted RESTART IDENTITY;
    INSERT INTO item (name, n) VALUES ('a', 1), ('b', 2), ('c', 3);
    INSERT INTO part VALUES (1, 1), (1, 2), (2, 1);
    INSERT INTO tag (name) VALUES ('x'), ('y');
    INSERT INTO item_tag VALUES (1, 1);
"""
TABLES = ["item", "part", "tag", "item_tag", "noted"]


def define(database: Any) -> None:
    class Item(database.Entity):  # type: ignore[misc, name-defined]
        _table_ = "item"
        name = orm.Required(str, unique=True)
        n = orm.Required(int, default=0)
        seen = orm.Optional(int, volatile=True)
        parts = orm.Set("Part")
        tags = orm.Set("Tag", table="item_tag", column="tag")
        noted = orm.Set("Noted")

    class Part(database.Entity):  # type: ignore[misc, name-defined]
        _table_ = "part"
        item = orm.Required(Item)
        number = orm.Required(int)
        orm.PrimaryKey(item, number)

    class Tag(database.Entity):  # type: ignore[misc, name-defined]
        _table_ = "tag"
        name = orm.Required(str)
        items = orm.Set(Item, column="item")

    class Noted(database.Entity):  # type: ignore[misc, name-defined]
        _table_ = "noted"
        name = orm.Required(str)
        item = orm.Optional(Item)

        def after_insert(self) -> None:
            if self.name == "raises":
                raise ZeroDivisionError
            if self.name == "writes":
                database.Item(name="of a hook")
            if self.name == "commits":
                orm.commit()

        def before_update(self) -> None:
            database.execute("UPDATE item SET n = n + 10 WHERE name = 'c'")

    database.generate_mapping(check_tables=False)


CASES: dict[str, Callable[[Any], Any]] = {}


def case(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    CASES[function.__name__] = function
    return function


@case
def creates_and_changes(s: Any) -> None:
    for item in s.Item.select():
        item.n += 1
    for number in range(5):
        s.Item(name=str(number))
    s.Item.get(name="b").delete()


@case
def creates_a_tree(s: Any) -> None:
    item = s.Item(name="new", parts=[], tags=[s.Tag(name="1"), s.Tag[1]])
    s.Part(item=item, number=1)
    s.Part(item=s.Item[1], number=9)
    s.Noted(name="n", item=item)
    s.Item[1].tags = [s.Tag[2]]
    s.Item[2].delete()


@case
def changes_the_key_of_another(s: Any) -> None:
    new = s.Item(name="new")
    for part in s.Part.select(lambda p: p.item.id == 1):
        s.Part(item=new, number=part.number)
        part.delete()


@case
def violates_a_check(s: Any) -> None:
    for item, n in zip(s.Item.select().order_by(lambda i: i.id), (10, 1000, 30), strict=True):
        item.set(n=n, seen=n)


@case
def violates_a_key(s: Any) -> None:
    s.Item[1].n = 5
    s.Item(name="d")
    s.Item(name="e", seen=1)
    s.elsewhere("INSERT INTO item (id, name, n) VALUES (99, 'e', 1)")
    s.Item[3].delete()


@case
def violates_what_is_deferred(s: Any) -> None:
    s.Item(name="new")
    s.Item[1].name = "fails late"


@case
def was_changed_elsewhere(s: Any) -> None:
    for item in s.Item.select().order_by(lambda i: i.id):
        item.n += 1
        item.seen = 7
    s.elsewhere("UPDATE item SET n = 50 WHERE id = 2")


@case
def was_deleted_elsewhere(s: Any) -> None:
    for item in s.Item.select().order_by(lambda i: i.id):
        item.n += 1
    s.Item(name="new")
    s.elsewhere("DELETE FROM item WHERE id = 3")


@case
def deletes_what_is_gone(s: Any) -> None:
    s.Item[3].delete()
    s.elsewhere("DELETE FROM item WHERE id = 3")


@case
def inserts_what_a_trigger_skips(s: Any) -> None:
    s.Item[1].n = 5
    s.Item(name="skipped")


@case
def gets_a_key_that_it_knows(s: Any) -> None:
    known, other = s.Item[3], s.Item[1]
    assert known.n == 3
    s.Item(name="new")
    other.n = 5
    s.elsewhere("DELETE FROM item WHERE id = 3")
    s.elsewhere("SELECT setval('item_id_seq', 3, false)")


@case
def has_a_hook_that_raises(s: Any) -> None:
    s.Item(name="new")
    s.Noted(name="raises")


@case
def has_a_hook_that_writes(s: Any) -> None:
    s.Item(name="new")
    s.Noted(name="writes")


@case
def has_a_hook_that_commits(s: Any) -> None:
    s.Noted(name="commits")
    s.Item(name="new")


@case
def has_a_hook_that_writes_before(s: Any) -> None:
    noted = s.Noted(name="n")
    orm.flush()
    noted.name = "m"
    s.Item[1].n = 7


@case
def has_a_value_that_cannot_be_sent(s: Any) -> None:
    s.Item[1].n = 7
    s.Item(name="nul \0")
    s.Item[2].n = 7


@case
def refers_to_itself_in_a_circle(s: Any) -> None:
    s.Item[1].set(name="b2")
    s.Item[2].set(name="a")  # one after the other: the first gives the name free
    s.Item[3].name = "c"


@case
def flushes_one_object(s: Any) -> None:
    item = s.Item(name="new")
    item.flush()
    s.Item[1].n = item.id


@case
def flushes_when_it_reads(s: Any) -> list[str]:
    s.Item(name="new")
    s.Item[1].n = 100
    return list(orm.select(i.name for i in s.Item if i.n > 2 or i.name == "new").order_by(1))


@case
def commits_twice(s: Any) -> None:
    s.Item(name="1")
    orm.commit()
    s.Item[1].n = 17
    s.db.commit()
    s.Item(name="2")


def state_of(database: Any) -> Any:
    """What the session cache holds, as far as it can be compared."""
    cache = orm.core.local.db2cache.get(database)
    if cache is None or not cache.is_alive:
        return None
    objects = sorted(
        (type(o).__name__, o._status_, str(o._pkval_), o._rbits_, o._wbits_, shown(o._vals_), shown(o._dbvals_ or {}))
        for o in cache.objects
    )  # fmt: skip
    left = [type(o).__name__ for o in cache.objects_to_save if o is not None]
    return objects, left, len(cache.saved_objects), cache.modified, cache.in_transaction


def shown(values: dict[Any, Any]) -> str:
    """The values of an object, in an order that does not depend on hashes."""
    return str(sorted(f"{k}: {sorted(map(str, v)) if isinstance(v, set) else v}" for k, v in values.items()))


def run(database: Any, work: Callable[[Any], Any], elsewhere: Any, how: str) -> list[Any]:
    """What a db_session does, and what it raises."""
    trace: list[Any] = []

    def body() -> None:
        s = SimpleNamespace(db=database, elsewhere=elsewhere, **database.entities)
        trace.append(work(s))
        if how == "flush":
            try:
                orm.flush()
            except Exception as error:
                trace.append((type(error).__name__, str(error)))
            trace.append(state_of(database))
            orm.rollback()
        elif how == "database":
            database.commit()

    options = {"checks off": {"optimistic": False}, "strict": {"strict": True}, "serializable": {"serializable": True}}
    try:
        orm.db_session(**options.get(how, {}))(body)() if how in options else orm.db_session(body)()
    except Exception as error:
        original = getattr(error, "original_exc", None)
        inner = [type(each[1]).__name__ for each in getattr(error, "exceptions", [])]
        trace.append((type(error).__name__, str(error), type(original).__name__, inner))
    return trace


@pytest.fixture
def plain(regions: TwoRegions) -> Iterator[Any]:
    database = orm.Database("postgres", **named(regions.cluster.primary, regions.name))
    define(database)
    yield database
    close(database)


def comparable(seen: Any) -> str:
    """Without the numbers by which Pony tells new objects apart."""
    return re.sub(r"new:\d+", "new", repr(seen))


def stored(regions: TwoRegions) -> list[Any]:
    return [regions.query(f"SELECT coalesce(array_agg(t::text ORDER BY t::text), '{{}}') FROM {t} t") for t in TABLES]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["commit", "flush", "database", "checks off", "strict", "serializable"])
def test_a_db_session_is_as_one_on_the_primary(regions: TwoRegions, plain: Any, how: str) -> None:
    def elsewhere(sql: str) -> None:
        with psycopg2.connect(**regions.cluster.primary.params(regions.name)) as connection:
            connection.cursor().execute(f"SET lock_timeout = '2s'; {sql}")
        connection.close()

    regions.query(SETUP)
    with pony_in_lax(regions) as lax:
        define(lax)
        different = {}
        for name, work in CASES.items():
            seen = []
            for database in (plain, lax):
                regions.query(ROWS)
                regions.cluster.wait_for_replica()
                seen.append([run(database, work, elsewhere, how), stored(regions)])
            if comparable(seen[0]) != comparable(seen[1]):
                different[name] = seen
        assert not different


def test_another_database_that_fails_keeps_it_from_being_committed(regions: TwoRegions) -> None:
    regions.query(SETUP + ROWS)
    regions.cluster.wait_for_replica()
    with pony_in_lax(regions) as first, pony_in_lax(regions) as second:
        define(first)
        define(second)
        for names in (("never", "a"), ("a", "never")):
            with pytest.raises(orm.core.TransactionIntegrityError), orm.db_session:
                first.Item(name=names[0])
                second.Item(name=names[1])
    assert regions.query("SELECT count(*) FROM item") == 3


def test_an_error_of_the_session_itself_keeps_it_from_being_committed(regions: TwoRegions) -> None:
    regions.query(SETUP + ROWS)
    regions.cluster.wait_for_replica()
    with pony_in_lax(regions) as lax:
        define(lax)
        with pytest.raises(ZeroDivisionError), orm.db_session:
            lax.Item(name="never")
            orm.flush()
            raise ZeroDivisionError
    assert regions.query("SELECT array_agg(n ORDER BY id) FROM item") == [1, 2, 3]


@pytest.fixture
def lax_shop(regions: TwoRegions) -> Iterator[Any]:
    regions.query(SETUP + ROWS)
    regions.cluster.wait_for_replica()
    with pony_in_lax(regions) as lax:
        define(lax)
        yield lax


def change_all(lax: Any) -> None:
    """Change three items, and create one."""
    with orm.db_session:
        for item in lax.Item.select():
            item.n += 10
        lax.Item(name="new")


def test_an_older_node_is_sent_one_statement_after_another(
    regions: TwoRegions, lax_shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*arguments: Any) -> Any:
        request = decode_request(*arguments)
        return msgspec.structs.replace(request, batch=None) if isinstance(request, Run) else request

    monkeypatch.setattr(channel_executor, "decode_request", decode)
    change_all(lax_shop)
    assert regions.query("SELECT array_agg(n ORDER BY id) FROM item") == [11, 12, 13, 0]
    with pytest.raises(orm.OptimisticCheckError), orm.db_session:
        for item in lax_shop.Item.select():
            item.n += 1
        regions.query("UPDATE item SET n = 50 WHERE id = 2 RETURNING 1")
    assert regions.query("SELECT array_agg(n ORDER BY id) FROM item") == [11, 50, 13, 0]


@pytest.mark.usefixtures("no_spare_channels")
@pytest.mark.parametrize(
    ("limit", "value", "expected"),
    [("_MAX_STATEMENTS", 2, 2), ("_MAX_BYTES", 1, 4), ("_MAX_KNOWN", 2, 3), ("_KNOWN_PER_WRITE", 1, 3)],
)
def test_what_is_too_much_for_one_request_takes_more(
    regions: TwoRegions, lax_shop: Any, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, expected: int
) -> None:
    with orm.db_session:
        lax_shop.Tag(name="z")  # so that a channel is open
    monkeypatch.setattr(plan, limit, value)
    assert trips(regions, lambda: change_all(lax_shop)) == expected
    assert regions.query("SELECT array_agg(n ORDER BY id) FROM item") == [11, 12, 13, 0]
