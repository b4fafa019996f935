"""A COPY whose data travels in pieces is recorded in the ledger like any other write."""

import io
from typing import Any

import pytest
from psycopg2 import errors

import fly_orm
from fly_orm.deadline import now
from tests.support.copies import PIECES, Source, copy, make_pieces_small
from tests.support.two_regions import TwoRegions

pytestmark = pytest.mark.usefixtures("no_spare_channels")


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    make_pieces_small(monkeypatch)


def test_one_whose_last_reply_is_lost_has_happened(regions: TwoRegions, db: Any) -> None:
    assert copy(db, Source(at_5=regions.wan.cut_before_reply)).rowcount == PIECES
    assert regions.query("SELECT count(*) FROM t") == PIECES


def test_one_that_is_lost_earlier_has_not(regions: TwoRegions, db: Any) -> None:
    with pytest.raises(fly_orm.TransactionLost):
        copy(db, Source(at_3=regions.wan.cut_before_reply))
    assert regions.query("SELECT count(*) FROM t") == 0


def test_one_to_a_file_whose_reply_is_lost_is_written(regions: TwoRegions, db: Any) -> None:
    out = io.StringIO()
    regions.query(
        "CREATE FUNCTION add(text) RETURNS text LANGUAGE sql AS 'INSERT INTO t (name) VALUES ($1) RETURNING 1'"
    )
    regions.cluster.wait_for_replica()
    db.execute_sql("SELECT add('before')")
    regions.wan.cut_before_reply()
    with fly_orm.primary():
        query = "COPY (SELECT add(n::text), 'longer than a piece' FROM generate_series(1, 3) AS n) TO STDOUT"
        db.connection().cursor().copy_expert(query, out)
    assert out.getvalue() == "1\tlonger than a piece\n" * 3
    assert regions.query("SELECT count(*) FROM t") == 4


def test_one_that_cannot_be_recorded_is_not_sent_again_without_what_was_sent(regions: TwoRegions, db: Any) -> None:
    body = "IF nextval('calls') = 1 THEN RAISE 'not in a transaction' USING ERRCODE = '25001'; END IF; RETURN NEW;"
    db.execute_sql(
        f"CREATE SEQUENCE calls; CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {body} END$$"
    )
    db.execute_sql("CREATE TRIGGER refuse BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()")
    with pytest.raises(errors.ActiveSqlTransaction):
        copy(db, Source())
    assert regions.query("SELECT count(*) FROM t") == 0


def test_one_that_is_given_up_leaves_its_caller_waiting_no_longer_than_others(regions: TwoRegions) -> None:
    impatient = regions.lax(options={"exactly_once": True, "rpc_timeout": 2})
    impatient.execute_sql("INSERT INTO t (name) VALUES ('first')")
    regions.wan.stall()
    started = now()
    with pytest.raises(fly_orm.OutcomeUnknown, match="nobody could be asked"):
        impatient.cursor().copy_expert("COPY t (name) FROM STDIN", io.StringIO("second\n"))
    assert now() - started < 10
