"""What cannot work from lax says so before anything ran, and what only seems to be difficult works."""

import io
import threading
from collections.abc import Callable
from typing import Any

import peewee
import psycopg2
import pytest
from psycopg2 import errors
from psycopg2 import extensions as ext

import fly_orm
from fly_orm.testing.contract.tools import in_thread
from tests.support.one_table import INSERT, count, one_table
from tests.support.two_regions import TwoRegions
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.usefixtures("no_spare_channels")


@pytest.fixture
def db(regions: TwoRegions) -> Any:
    return one_table(regions)


REFUSED: dict[str, Callable[[Any], Any]] = {
    "LISTEN": lambda c: c.cursor().execute("LISTEN chan"),
    "PREPARE TRANSACTION": lambda c: c.cursor().execute("PREPARE TRANSACTION 'x'"),
    "COMMIT PREPARED": lambda c: c.cursor().execute("COMMIT PREPARED 'x'"),
    "lobject": lambda c: c.lobject(),
    "xid": lambda c: c.xid(1, "a", "b"),
    "tpc_begin": lambda c: c.tpc_begin("x"),
    "tpc_recover": lambda c: c.tpc_recover(),
    "a cursor factory that is no class": lambda c: c.cursor(cursor_factory=lambda *a: ext.cursor(*a)),
    "an encoding inside a transaction": lambda c: [
        c.cursor().execute("BEGIN"),
        c.cursor().execute("SET NAMES 'LATIN1'"),
    ],
    "quoting inside a transaction": lambda c: [
        c.cursor().execute("BEGIN"),
        c.cursor().execute("SET LOCAL standard_conforming_strings = off"),
    ],
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused_before_anything_ran(regions: TwoRegions, db: Any, name: str) -> None:
    before = regions.wan.round_trips
    with pytest.raises(fly_orm.NotSupported) as raised:
        REFUSED[name](db.connection())
    assert isinstance(raised.value, psycopg2.NotSupportedError)
    assert isinstance(raised.value, peewee.NotSupportedError)
    assert regions.wan.round_trips == before


def test_an_asynchronous_connection_is_refused(regions: TwoRegions) -> None:
    with pytest.raises(psycopg2.NotSupportedError, match="asynchronous"):
        regions.lax(async_=True).connect()


def test_lastval_outside_of_a_transaction_says_what_to_do(db: Any) -> None:
    db.execute_sql(INSERT, ("x",))
    for sql in ("SELECT lastval()", "SELECT currval('t_id_seq')"):
        with pytest.raises(peewee.OperationalError, match="RETURNING") as raised:
            db.execute_sql(sql)
        assert raised.value.orig.pgcode == "55000"
        assert "RETURNING" in raised.value.orig.diag.message_hint


def test_copy_by_execute_is_refused_as_psycopg2_does(db: Any) -> None:
    for sql, word in (("COPY t FROM STDIN", "FROM"), ("COPY (DELETE FROM t RETURNING id) TO STDOUT", "TO")):
        with pytest.raises(psycopg2.ProgrammingError, match=f"can't execute COPY {word}: use the copy_"):
            db.connection().cursor().execute(sql)
    assert count(db) == 1


def test_copying_from_a_file_that_cannot_be_read_writes_nothing(db: Any) -> None:
    class Unreadable(io.StringIO):
        def read(self, size: int | None = -1) -> str:
            raise ZeroDivisionError

    with pytest.raises(errors.QueryCanceled, match="ZeroDivisionError"):  # as psycopg2 does
        db.connection().cursor().copy_from(Unreadable(), "t", columns=("name",))
    assert count(db) == 1


def test_a_lock_taken_in_lax_is_held_against_the_primary(regions: TwoRegions, db: Any) -> None:
    db.execute_sql("SELECT pg_advisory_lock(7)")
    assert regions.query("SELECT pg_try_advisory_lock(7)") is False
    db.close()
    until(lambda: bool(regions.query("SELECT pg_try_advisory_lock(7)")))


def test_one_callers_settings_are_not_the_next_ones(regions: TwoRegions, db: Any) -> None:
    regions.query("DROP ROLE IF EXISTS clerk; CREATE ROLE clerk; GRANT ALL ON t, t_id_seq TO clerk")
    regions.cluster.wait_for_replica()
    first, second = regions.lax(), regions.lax()
    for sql in ("SET ROLE clerk", "SET app.tenant = 'one'"):
        first.execute_sql(sql)
    query = "UPDATE t SET name = name RETURNING current_user, current_setting('app.tenant', true)"
    assert first.execute_sql(query).fetchone() == ("clerk", "one")
    assert second.execute_sql(query).fetchone() in [("postgres", None), ("postgres", "")]
    regions.query("DROP OWNED BY clerk; DROP ROLE clerk")


def test_a_running_statement_can_be_cancelled_on_the_primary(regions: TwoRegions, db: Any) -> None:
    connection = db.connection()
    connection.cursor().execute("BEGIN")
    connection.cursor().execute("SELECT 1")
    sleeping = in_thread(connection.cursor().execute, "SELECT pg_sleep(60)")
    until(lambda: bool(regions.query("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")))
    connection.cancel()
    assert type(sleeping.exception(PATIENCE)).__name__ == "QueryCanceled"
    assert connection.get_transaction_status() == ext.TRANSACTION_STATUS_INERROR
    connection.cursor().execute("ROLLBACK")


def test_threads_can_share_a_connection(regions: TwoRegions, db: Any) -> None:
    connection, errors = db.connection(), []

    def work(number: int) -> None:
        try:
            for each in range(20):
                cursor = connection.cursor()
                cursor.execute(f"{INSERT} RETURNING name", (f"{number} {each}",))
                assert cursor.fetchall() == [(f"{number} {each}",)]
                cursor.execute("SELECT name FROM t WHERE name = %s", (f"{number} {each}",))
                assert cursor.fetchall() == [(f"{number} {each}",)]
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert count(db) == 81
