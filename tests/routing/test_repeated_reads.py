"""A read that was sent to the primary, and whose reply is lost, is sent once more, and nothing is written twice."""

from __future__ import annotations

import io
from typing import Any

import psycopg2
import pytest

import fly_orm
from tests.support.two_regions import TwoRegions

pytestmark = pytest.mark.usefixtures("no_spare_channels")


@pytest.fixture
def db(regions: TwoRegions) -> Any:
    """A database in lax, with a table in which a function and a view note that they were called."""
    regions.query("CREATE TABLE noted (i serial)")
    regions.query("CREATE FUNCTION note() RETURNS int LANGUAGE sql AS 'INSERT INTO noted DEFAULT VALUES; SELECT 1'")
    regions.query("CREATE VIEW noting AS SELECT note() AS one")
    regions.cluster.wait_for_replica()
    database = regions.lax()
    database.execute_sql("SELECT 1")
    return database


def read(regions: TwoRegions, db: Any, sql: str) -> Any:
    """The first value that the primary returns, after the reply to the first request was lost."""
    with fly_orm.primary():
        db.execute_sql("SELECT 1")
        regions.wan.cut_before_reply()
        return db.execute_sql(sql).fetchone()[0]


@pytest.mark.parametrize("sql", ["SELECT count(*) FROM noted", "WITH a AS (SELECT 0 AS b) SELECT b FROM a"])
def test_a_plain_read_returns_as_if_nothing_had_happened(regions: TwoRegions, db: Any, sql: str) -> None:
    assert read(regions, db, sql) == 0
    db.execute_sql("INSERT INTO noted DEFAULT VALUES")  # the session on the primary is not left READ ONLY
    assert fly_orm.why().route is fly_orm.Route.PRIMARY


def test_an_error_of_the_read_is_raised(regions: TwoRegions, db: Any) -> None:
    with pytest.raises(Exception, match="division by zero"):
        read(regions, db, "SELECT 1 / 0")


@pytest.mark.parametrize("sql", ["SELECT note()", "SELECT one FROM noting", "TABLE noting"])
def test_what_writes_though_it_looks_like_a_read_is_not_repeated(regions: TwoRegions, db: Any, sql: str) -> None:
    with pytest.raises(fly_orm.OutcomeUnknown):
        read(regions, db, sql)
    assert regions.query("SELECT count(*) FROM noted") == 1


def test_if_it_cannot_be_sent_again_its_outcome_stays_unknown(regions: TwoRegions, db: Any) -> None:
    """It is not NotDelivered: what looks like a read may have written."""
    db.execute_sql("INSERT INTO noted DEFAULT VALUES")  # which opens a channel
    open_lease, attempts = db._fly_orm.forwarder.open_lease, [regions.wan.cut, regions.wan.cut_before_reply]

    def sent(*arguments: Any) -> Any:
        attempts.pop()()
        return open_lease(*arguments)

    db._fly_orm.forwarder.open_lease = sent
    with pytest.raises(fly_orm.OutcomeUnknown) as raised, fly_orm.primary():
        db.execute_sql("SELECT 1")
    assert isinstance(raised.value, psycopg2.OperationalError)
    assert attempts == []


def test_a_long_result_is_whole(regions: TwoRegions, db: Any) -> None:
    with fly_orm.primary():
        db.execute_sql("SELECT 1")
        regions.wan.cut_before_reply()
        rows = db.execute_sql("SELECT i, repeat('x', 1000) FROM generate_series(1, 4000) AS s (i)").fetchall()
    assert [i for i, _ in rows] == list(range(1, 4001))


def test_output_of_copy_is_not_read_twice(regions: TwoRegions, db: Any) -> None:
    output = io.StringIO()
    with fly_orm.primary(), pytest.raises(fly_orm.OutcomeUnknown):
        db.execute_sql("SELECT 1")
        regions.wan.cut_before_reply()
        db.cursor().copy_expert("COPY (SELECT 1) TO STDOUT", output)


def test_a_read_in_a_session_with_state_is_not_repeated(regions: TwoRegions, db: Any) -> None:
    with db.connection_context():
        db.execute_sql("CREATE TEMPORARY TABLE mine (i int)")
        regions.wan.cut_before_reply()
        with pytest.raises(fly_orm.OutcomeUnknown):
            db.execute_sql("SELECT count(*) FROM mine")
