"""In the primary region, where nothing is forwarded, an operation is executed once, too."""

import io
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from pony import orm

import fly_orm
from fly_orm.ledger.table import create_sql
from fly_orm.testing import Cluster
from tests.support.pony_regions import pony_in_lax
from tests.support.two_regions import TwoRegions, settings, two_regions
from tests.support.waiting import until

INSERT = "INSERT INTO t (name) VALUES (%s) RETURNING id"


def names(regions: TwoRegions) -> list[str]:
    return list(regions.query("SELECT coalesce(array_agg(name ORDER BY id), '{}') FROM t"))


@pytest.fixture
def syd(regions: TwoRegions) -> Any:
    return regions.syd()


def in_transaction(db: Any, name: str, key: str) -> None:
    with fly_orm.operation(key), db.atomic():
        db.execute_sql(INSERT, (name,))


def test_a_transaction(regions: TwoRegions, syd: Any) -> None:
    in_transaction(syd, "once", "order-42")
    for db in syd, regions.lax():
        with pytest.raises(fly_orm.AlreadyCommitted, match="The work is done; do not repeat it"):
            in_transaction(db, "twice", "order-42")
        assert not db.in_transaction()
    in_transaction(regions.lax(), "far", "order-43")
    with pytest.raises(fly_orm.AlreadyCommitted):
        in_transaction(syd, "near", "order-43")
    with fly_orm.operation("order-44"):
        with pytest.raises(ZeroDivisionError), syd.atomic():
            syd.execute_sql(INSERT, ("failed",))
            raise ZeroDivisionError
        with syd.atomic():
            syd.execute_sql(INSERT, ("then",))
        with pytest.raises(fly_orm.NotSupported, match="is done"), syd.atomic():
            syd.execute_sql(INSERT, ("more",))
    assert names(regions) == ["once", "far", "then"]


def test_a_write_outside_of_a_transaction(regions: TwoRegions, syd: Any) -> None:
    with fly_orm.operation("order-42"):
        assert syd.execute_sql("SELECT count(*) FROM t").fetchone() == (0,)
        assert syd.execute_sql(INSERT, ("once",)).fetchall() == [(1,)]
    for db, error in (syd, fly_orm.AlreadyCommitted), (regions.lax(), fly_orm.ResultLost):
        with pytest.raises(error), fly_orm.operation("order-42"):
            db.execute_sql(INSERT, ("once",))
        with pytest.raises(fly_orm.Refused, match="other parameters"), fly_orm.operation("order-42"):
            db.execute_sql(INSERT, ("twice",))
    with pytest.raises(Exception, match="duplicate key"), fly_orm.operation("order-43"):
        syd.execute_sql(INSERT, ("once",))
    with fly_orm.operation("order-43"):
        syd.execute_sql(INSERT, ("free",))
    with fly_orm.operation("order-43"), pytest.raises(fly_orm.Refused, match="choose another key"):
        syd.execute_sql("DELETE FROM t")
    assert names(regions) == ["once", "free"]


@pytest.mark.parametrize("kind", ["many", "copy", "copy_from"])
def test_an_attempt_is_the_same_in_both_regions(regions: TwoRegions, syd: Any, kind: str) -> None:
    def attempt(db: Any, name: str) -> None:
        cursor = db.connection().cursor()
        with fly_orm.operation("order-42"):
            if kind == "many":
                cursor.executemany("INSERT INTO t (name) VALUES (%s)", ((value,) for value in (name, f"{name}2")))
            elif kind == "copy":
                cursor.copy_expert("COPY t (name) FROM STDIN", io.StringIO(f"{name}\n"))
            else:
                cursor.copy_from(io.StringIO(f"{name}\n"), "t", columns=["name"])

    attempt(syd, "once")
    with pytest.raises(fly_orm.ResultLost):
        attempt(regions.lax(), "once")
    with pytest.raises(fly_orm.AlreadyCommitted):
        attempt(syd, "once")
    assert names(regions) == (["once", "once2"] if kind == "many" else ["once"])


def test_a_block_does_not_begin_inside_a_transaction(regions: TwoRegions, syd: Any) -> None:
    with syd.atomic():
        syd.execute_sql(INSERT, ("one",))
        with fly_orm.operation("order-42"), pytest.raises(fly_orm.NotSupported, match="before the transaction"):
            syd.execute_sql(INSERT, ("two",))
    assert names(regions) == ["one"]


def test_without_a_ledger_nothing_is_executed(regions: TwoRegions, syd: Any) -> None:
    regions.query("DROP TABLE fly_orm_ledger")
    with pytest.raises(fly_orm.Refused, match="fly-orm ledger create"):
        in_transaction(syd, "once", "order-42")
    with pytest.raises(fly_orm.Refused, match="fly-orm ledger create"), fly_orm.operation("order-42"):
        syd.execute_sql(INSERT, ("once",))
    assert names(regions) == []


@pytest.fixture
def pony(regions: TwoRegions) -> Iterator[Any]:
    with pony_in_lax(regions, server=regions.cluster.primary, settings=settings("syd")) as database:

        class T(database.Entity):  # type: ignore[misc, name-defined]
            _table_ = "t"
            name = orm.Required(str, unique=True)

        database.generate_mapping(check_tables=False)
        yield T


def test_a_db_session(regions: TwoRegions, pony: Any) -> None:
    with fly_orm.operation("order-42"), orm.db_session:
        assert orm.count(t for t in pony) == 0
        pony(name="0")
    with pytest.raises(orm.core.UnexpectedError) as raised, fly_orm.operation("order-42"), orm.db_session:
        assert orm.count(t for t in pony) == 1
        pony(name="1")
    assert isinstance(raised.value.original_exc, fly_orm.AlreadyCommitted)
    with fly_orm.operation("order-43"), orm.db_session:
        pony(name="next")
    assert names(regions) == ["0", "next"]


@pytest.mark.slow
def test_a_connection_whose_replica_was_promoted() -> None:
    """It has been open since before, so that it still routes, and executes statements where they are."""
    kinds = ["write", "many", "copy", "transaction", "implicit transaction"]
    with Cluster.start() as cluster:
        cluster.create_database("app")
        cluster.wait_for_replica()
        with two_regions(cluster, "app") as regions:
            regions.query(create_sql() + "; CREATE TABLE t (id serial PRIMARY KEY, name text)")
            cluster.wait_for_replica()
            db = regions.lax()
            db.execute_sql("SELECT 1")
            cluster.promote()
            until(lambda: db.execute_sql("SELECT 1") and db.connection().promoted)
            for kind in kinds:
                attempt(db, kind)
                with pytest.raises(fly_orm.AlreadyCommitted):
                    attempt(db, kind)
            db.close()
            for kind in kinds:
                with pytest.raises(fly_orm.AlreadyCommitted):
                    attempt(db, kind)
            assert db.execute_sql("SELECT array_agg(name ORDER BY id) FROM t").fetchone() == (kinds,)


def attempt(db: Any, kind: str) -> None:
    connection = db.connection()
    cursor = connection.cursor()
    with fly_orm.operation(kind):
        if kind == "write":
            db.execute_sql(INSERT, (kind,))
        elif kind == "many":
            cursor.executemany("INSERT INTO t (name) VALUES (%s)", [(kind,)])
        elif kind == "copy":
            cursor.copy_expert("COPY t (name) FROM STDIN", io.StringIO(f"{kind}\n"))
        elif kind == "transaction":
            with db.atomic():
                db.execute_sql(INSERT, (kind,))
        else:
            with connection, connection.cursor() as cursor:
                cursor.execute(INSERT, (kind,))


def test_a_query_that_writes(regions: TwoRegions, syd: Any) -> None:
    regions.query(
        "CREATE FUNCTION add(what text) RETURNS int LANGUAGE sql AS 'INSERT INTO t (name) VALUES (what) RETURNING id'"
    )
    with fly_orm.operation("order-42"):
        assert syd.execute_sql("SELECT add('once')").fetchall() == [(1,)]
        assert syd.execute_sql("SELECT count(*) FROM t").fetchall() == [(1,)]
        with pytest.raises(fly_orm.NotSupported, match="is done"):
            syd.execute_sql("SELECT add('more')")
    with pytest.raises(fly_orm.AlreadyCommitted), fly_orm.operation("order-42"):
        syd.execute_sql("SELECT add('once')")
    with pytest.raises(fly_orm.Refused, match="other parameters"), fly_orm.operation("order-42"):
        syd.execute_sql("SELECT add('another')")
    for parameters, error in (("near",), None), (("near",), fly_orm.AlreadyCommitted), (("far",), fly_orm.Refused):
        with pytest.raises(error) if error else nullcontext(), fly_orm.operation("order-43"):
            syd.connection().cursor().callproc("add", parameters)
    assert not syd.in_transaction()
    assert names(regions) == ["once", "near"]


@pytest.mark.parametrize("begin", [None, "BEGIN"])
def test_a_string_that_commits_a_part_is_no_operation(regions: TwoRegions, syd: Any, begin: str | None) -> None:
    sql = "INSERT INTO t (name) VALUES ('half'); COMMIT; INSERT INTO t (name) VALUES ('half')"
    with fly_orm.operation("order-42"):
        if begin:
            syd.execute_sql(begin)
        with pytest.raises(fly_orm.NotSupported, match="order-42"):
            syd.execute_sql(sql)
        if begin:
            syd.execute_sql("ROLLBACK")
    assert names(regions) == []
