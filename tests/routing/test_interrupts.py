"""What a signal handler raises in a caller in lax holds up nobody else, whenever it does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from psycopg2 import extensions as ext

from fly_orm.testing.contract.interrupting import at_every_moment, interrupted_at
from tests.support.one_table import deferring, one_table
from tests.support.two_regions import TwoRegions

UPDATE = "UPDATE t SET name = %s WHERE id = 1"
#: Seconds that another caller may need on a busy machine. One that is held up waits for much longer.
SOON = 20
#: Each run is interrupted so many moments later than the one before. With 1 instead, a test takes half a minute.
STEP = 17
#: An interrupt just after a channel was opened leaves its socket to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture
def db(regions: TwoRegions) -> Any:
    return one_table(regions)


def test_an_interrupt_at_any_moment_of_a_write_holds_up_no_other_caller(db: Any) -> None:
    """Nor does it leave a row locked, or anything without which the same connection cannot go on."""

    def write(name: str) -> None:
        db.execute_sql(UPDATE, (name,))

    with ThreadPoolExecutor(1) as other:
        for _ in at_every_moment(lambda: write("mine"), step=STEP):
            other.submit(write, "another's").result(SOON)
            write("mine again")
        other.submit(db.close).result(SOON)


def test_an_interrupted_transaction_can_be_rolled_back_and_keeps_no_row_locked(db: Any) -> None:
    """At whatever moment of its statement or of its COMMIT the interrupt comes."""
    connection = db._connect()
    connection.autocommit = False

    def transact() -> None:
        with connection.cursor() as cursor:
            cursor.execute(UPDATE, ("mine",))
        connection.commit()

    with ThreadPoolExecutor(1) as other:
        for _ in at_every_moment(transact, step=STEP):
            connection.rollback()
            other.submit(db.execute_sql, UPDATE, ("another's",)).result(SOON)
            transact()
        other.submit(db.close).result(SOON)
    connection.close()


def test_commit_that_is_interrupted_before_it_is_sent_leaves_a_transaction_that_can_be_rolled_back(db: Any) -> None:
    """Each of its first moments counts: it closes the transaction's cursors on the replica, and sends nothing yet."""
    connection = deferring(db._connect())
    with ThreadPoolExecutor(1) as other:
        for moment in range(1, 61):
            held = connection.cursor("held")
            held.execute("SELECT 1")
            connection.cursor().execute(UPDATE, ("mine",))
            assert interrupted_at(moment, connection.commit)
            connection.rollback()
            other.submit(db.execute_sql, UPDATE, ("another's",)).result(SOON)
        other.submit(db.close).result(SOON)
    connection.close()


def test_a_named_cursor_that_was_being_declared_on_the_replica_ends_with_the_transaction(db: Any) -> None:
    connection = deferring(db._connect())

    kept: list[Any] = []  # psycopg2 closes those that nobody refers to

    def declare() -> None:
        kept[:] = [connection.cursor("c")]
        kept[0].execute("SELECT name FROM t")

    declare()  # with empty caches, a run would have other moments than the next one
    connection.rollback()
    declared = 0
    for _ in at_every_moment(declare):
        declared += _open_cursors(connection)
        connection.rollback()
        assert _open_cursors(connection) == 0
    assert declared > 0
    connection.close()


def _open_cursors(connection: Any) -> int:
    """How many of its cursors the replica has."""
    with ext.cursor(connection) as cursor:
        cursor.execute("SELECT FROM pg_cursors WHERE name = 'c'")
        return int(cursor.rowcount)
