"""Observers that only count and time are told of plain reads without an event, as long as nobody needs the event."""

from __future__ import annotations

import psycopg2
import pytest

import fly_orm
from fly_orm.observing import StatementServed


class Timing(fly_orm.Observer):
    """Keeps what it is told, and reads in turn."""

    def __init__(self, database):
        self.database = database
        self.timed, self.served = [], []

    def statement_served(self, event: StatementServed):
        self.served.append((event.kind, event.error))

    def read_timed(self, database, seconds):
        self.timed.append((database, seconds))
        self.database.execute_sql("SELECT 'an observer reads'")


class Failing(fly_orm.Observer):
    def read_timed(self, database, seconds):
        raise ZeroDivisionError

    def statement_served(self, event):
        """Nothing."""


@pytest.fixture
def lax(regions):
    regions.query("CREATE TABLE item (name text)")
    regions.cluster.wait_for_replica()
    db = regions.lax()
    db.execute_sql("SELECT name FROM item")
    return db


def test_a_plain_read_is_timed_once_and_all_else_is_an_event(lax, regions):
    timing = Timing(lax)
    with fly_orm.observe(timing):
        assert lax.execute_sql("SELECT name FROM item").fetchall() == []
        lax.execute_sql("INSERT INTO item VALUES ('one')")
        with pytest.raises(Exception, match="division by zero"):
            lax.execute_sql("SELECT 1 / 0")
    [(database, seconds)] = timing.timed
    assert database == regions.name
    assert 0 < seconds < 60
    assert timing.served == [("write", None), ("read", psycopg2.errors.DivisionByZero.__name__)]
    lax.execute_sql("SELECT name FROM item")
    assert len(timing.timed) == 1


def test_who_needs_the_event_of_a_read_gets_it_and_so_do_all(lax):
    timing = Timing(lax)
    with fly_orm.observe(timing):
        with fly_orm.trace() as trace:
            lax.execute_sql("SELECT name FROM item")
        lax.execute_sql("SELECT name FROM item")
    assert len(trace.statements) == 1
    assert timing.served == [("read", None)]
    assert len(timing.timed) == 1


def test_a_read_does_not_fail_with_who_times_it(lax, caplog):
    with fly_orm.observe(Failing()):
        for _ in range(3):
            assert lax.execute_sql("SELECT name FROM item").fetchall() == []
    assert caplog.text.count("Failing.read_timed raised an exception") == 1
