"""A reply that does not arrive no longer leaves open what became of the request."""

import re
from contextlib import closing
from typing import Any

import pytest

import fly_orm
from fly_orm.deadline import SETTLING_TIME
from tests.support.two_regions import TwoRegions

pytestmark = pytest.mark.usefixtures("no_spare_channels")
INSERT = "INSERT INTO t (name) VALUES (%s) RETURNING id"


def names(regions: TwoRegions) -> list[str]:
    return list(regions.query("SELECT coalesce(array_agg(name ORDER BY id), '{}') FROM t"))


def test_a_write_whose_reply_is_lost_returns_its_rows(regions: TwoRegions, db: Any) -> None:
    db.execute_sql(INSERT, ("first",))
    regions.wan.cut_before_reply()
    cursor = db.execute_sql(INSERT, ("second",))
    assert cursor.fetchall() == [(2,)]
    assert cursor.rowcount == 1
    assert names(regions) == ["first", "second"]
    assert db.execute_sql("SELECT count(*) FROM t").fetchone() == (2,)
    assert fly_orm.why().route is fly_orm.Route.LOCAL  # type: ignore[union-attr]


def test_a_transaction_whose_commit_is_not_acknowledged_is_committed(regions: TwoRegions, db: Any) -> None:
    with db.atomic():
        db.execute_sql(INSERT, ("once",))
        regions.wan.cut_before_reply()
    assert not db.in_transaction()
    assert names(regions) == ["once"]


def test_a_write_that_was_given_up_while_it_was_under_way_never_happens(regions: TwoRegions) -> None:
    impatient = regions.lax(options={"exactly_once": True, "rpc_timeout": 1})
    impatient.execute_sql(INSERT, ("first",))
    regions.wan.stall()
    with pytest.raises(fly_orm.OutcomeUnknown, match="nobody could be asked") as caught:
        impatient.execute_sql(INSERT, ("second",))
    error = caught.value
    assert error.settled_after is not None
    assert 0 < error.settled_after <= SETTLING_TIME + 0.1  # from now: the deadline is over
    assert f"for another {error.settled_after:.1f} s" in str(error)
    assert str(error).count("take effect") == 1


def test_a_write_that_did_not_arrive_says_so_without_contradiction(regions: TwoRegions, db: Any) -> None:
    db.execute_sql(INSERT, ("first",))
    regions.wan.cut_before_request()
    with pytest.raises(fly_orm.NotDelivered) as caught:
        db.execute_sql(INSERT, ("second",))
    node = r"syd=[\d.:]+"
    assert re.fullmatch(
        rf"the statement was not executed, and will not be, as {node} says \(no reply came from {node}: .*\)\. You can"
        " repeat it",
        str(caught.value),
    )


def test_a_notification_whose_reply_is_lost_was_sent(regions: TwoRegions, db: Any) -> None:
    """Nor does a transaction have an id for it, by which the ledger would know that it has written something."""
    with closing(regions.cluster.primary.connect(regions.name)) as listening:
        listening.cursor().execute("LISTEN alone; LISTEN together; LISTEN last")
        db.execute_sql(INSERT, ("first",))
        regions.wan.cut_before_reply()
        db.execute_sql("NOTIFY alone")
        with db.atomic():
            db.execute_sql("NOTIFY together")
            regions.wan.cut_before_reply()
        listening.cursor().execute("NOTIFY last")
        assert [notification.channel for notification in listening.notifies] == ["alone", "together", "last"]


def test_settings_whose_change_is_unknown_end_the_connection(regions: TwoRegions, db: Any) -> None:
    db.execute_sql(INSERT, ("first",))
    connection = db.connection()
    with db.atomic():
        db.execute_sql("SET application_name = 'changed'")
        db.execute_sql(INSERT, ("second",))
        regions.wan.cut_before_reply()
    assert names(regions) == ["first", "second"]
    assert connection.closed
