"""Requests about a lease that reach another worker than the one that has it."""

from __future__ import annotations

import os
from contextlib import ExitStack

import pytest

from fly_orm.deadline import Deadline
from fly_orm.ledger.table import create_sql
from fly_orm.protocol.messages import Cancel, Declined, Run, Settle
from fly_orm.testing import Wan
from fly_orm.testing.contract.tools import in_thread
from tests.support.two_regions import AMPLE
from tests.support.waiting import until
from tests.support.worker_processes import channels_by_worker


@pytest.fixture
def channels(served):
    """Two channels, to different workers."""
    with ExitStack() as stack:
        found = channels_by_worker(served.address, 1, stack)
        yield found[1][0], found[2][0]


def run(database, *statements, **options):
    return Run(database=database, lease=os.urandom(16), opens_lease=True, statements=list(statements), **options)


def test_a_statement_is_cancelled_through_another_worker(cluster, served, channels):
    one, other = channels
    request = run(served.database, b"SELECT pg_sleep(600)")
    running = in_thread(lambda: one.request(request, Deadline.after(None)))
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(600)'"
    until(lambda: cluster.primary.query(sleeping) == 1, "it does not run")
    other.request(Cancel(lease=request.lease), Deadline.after(AMPLE))
    assert running.result(AMPLE).error.sqlstate == "57014"


def test_a_transaction_that_its_caller_has_given_up_ends_when_another_worker_is_asked(served, channels):
    one, other = channels
    request = run(served.database, b"CREATE TABLE given_up ()", preamble=[b"BEGIN"], wants_id=True)
    opened = one.request(request, Deadline.after(AMPLE)).opened
    assert opened is not None

    def answer():
        question = Settle(run=run(served.database), transaction=opened, lease=request.lease)
        return other.request(question, Deadline.after(AMPLE))

    until(lambda: not isinstance(answer(), Declined), "it stays undecided")
    assert not answer().executed


def test_a_write_whose_reply_is_lost_is_found_by_any_worker(cluster, served, lax):
    with cluster.primary.connect(served.database) as connection, connection.cursor() as cursor:
        cursor.execute(create_sql() + "; CREATE TABLE t (id serial, name text)")
    cluster.wait_for_replica()
    with Wan(served.address) as wan:
        db = lax(wan.address, {"exactly_once": True})
        for name in ("first", "second", "third"):
            wan.cut_before_reply()
            cursor = db.execute_sql("INSERT INTO t (name) VALUES (%s) RETURNING name", (name,))
            assert cursor.fetchall() == [(name,)]
        assert db.execute_sql("SELECT array_agg(name ORDER BY id) FROM t").fetchone() == (["first", "second", "third"],)
