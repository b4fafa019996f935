"""A named cursor in lax does what psycopg2's does on the primary, wherever it was declared."""

from collections.abc import Callable
from typing import Any

import psycopg2
import pytest
from psycopg2 import extras

from tests.support.side_by_side import MODES, READ, WRITE, Cases, Probe, SideBySide, seen_error

STEPS = Cases()
case = STEPS.case


@case
def named_cursors(p: Probe) -> Any:
    found: list[Any] = []
    with p.connection.cursor(name="held", withhold=True) as cursor:
        cursor.itersize = 2
        cursor.execute("SELECT id FROM t ORDER BY id")
        found += [cursor.name, cursor.rowcount, cursor.fetchone(), cursor.description is not None, cursor.fetchmany(1)]
        found += [list(cursor), cursor.fetchall(), cursor.fetchone(), cursor.withhold, cursor.scrollable]
    with p.connection.cursor(name='Odd "name', withhold=True, scrollable=True) as cursor:
        cursor.execute("SELECT id, %s FROM t ORDER BY id", ("x",))
        found += [cursor.fetchall(), cursor.scroll(-2), cursor.fetchone(), cursor.scroll(0, mode="absolute")]
        found += [cursor.fetchmany(2), list(cursor)]
    return found


@case
def the_error_of_a_named_cursor_has_it(p: Probe) -> Any:
    found = []
    for query in (None, READ, WRITE):
        if query is not None:
            p.connection.cursor().execute(query)
        for method, *args in (
            ("executemany", "SELECT 1", [()]),
            ("callproc", "now"),
            ("execute", ""),
            ("execute", " "),
        ):
            cursor = p.connection.cursor("c")
            with pytest.raises(psycopg2.ProgrammingError) as raised:
                getattr(cursor, method)(*args)
            found.append((seen_error(raised.value), raised.value.cursor in (None, cursor)))
        p.connection.rollback()
    return found


@case
def named_cursor_in_a_transaction(p: Probe) -> Any:
    p.connection.autocommit or p.connection.cursor().execute("UPDATE t SET n = 5")
    try:
        cursor = p.connection.cursor("c")
        cursor.execute("SELECT id FROM t ORDER BY id")
    except psycopg2.Error as error:
        return seen_error(error)
    found = [
        cursor.fetchone(),
        cursor.fetchmany(),
        cursor.rowcount,
        cursor.rownumber,
        cursor.fetchall(),
        cursor.close(),
    ]
    again = p.connection.cursor("c")
    again.execute("SELECT 1")
    with pytest.raises(psycopg2.ProgrammingError) as raised:
        again.execute("SELECT 2")
    return [*found, seen_error(raised.value)]


@case
def named_cursor_in_a_read_only_transaction(p: Probe) -> Any:
    p.connection.rollback()
    p.connection.set_session(readonly=True)
    found: list[Any] = []
    for end in (p.connection.commit, p.connection.rollback):
        try:
            cursor = p.connection.cursor("c")
            cursor.execute("SELECT id FROM t ORDER BY id")
            found += [cursor.fetchone(), list(cursor), p.state(), end(), p.state()]
            cursor.fetchone()
        except psycopg2.Error as error:
            found += [seen_error(error), p.state(), end()]
    return found


@case
def closing_a_named_cursor_of_a_failed_transaction(p: Probe) -> Any:
    p.connection.rollback()
    cursor = p.connection.cursor("c", withhold=True)
    cursor.execute("SELECT v FROM volatile")  # which a replica refuses
    p.do("SELECT 1/0" if p.connection.get_transaction_status() else "BEGIN; SELECT 1/0")
    return [p.connection.get_transaction_status(), cursor.close(), cursor.closed, p.connection.rollback()]


@case
def a_named_cursor_from_before_a_reset(p: Probe) -> Any:
    found: list[Any] = []
    for use in ("fetchone", "close"):
        cursor = p.connection.cursor("c")
        try:
            cursor.execute("SELECT id FROM t ORDER BY id")
            p.connection.reset()
            p.connection.cursor().execute("INSERT INTO t (name) VALUES (%s)", (use,))
            found.append(getattr(cursor, use)())
        except psycopg2.Error as error:
            found.append(seen_error(error))
        p.connection.commit()
        p.connection.set_session(autocommit=False)
    p.do("SELECT name FROM t ORDER BY id")
    return found


@case
def named_cursors_run_queries_and_nothing_else(p: Probe) -> Any:
    found: list[Any] = []
    statements = [
        "SAVEPOINT a",
        "BEGIN",
        "COMMIT",
        "SET work_mem = '1MB'",
        "DELETE FROM t",
        "SELECT * FROM t FOR UPDATE",
    ]
    for statement in statements:
        for withhold in (True, False):
            cursor = p.connection.cursor("c", withhold=withhold)
            calls: list[Callable[[], Any]] = [
                lambda: cursor.executemany(statement, [()]),  # noqa: B023
                lambda: cursor.callproc("add", ["x"]),  # noqa: B023
                lambda: cursor.execute(statement),  # noqa: B023
                lambda: cursor.execute("SELECT 1"),  # noqa: B023
            ]
            for call in calls:
                try:
                    found.append(call())
                except psycopg2.Error as error:
                    found.append((type(error).__name__, error.pgcode, str(error)))
            p.connection.rollback()
    return found


REFCURSOR = """
    CREATE FUNCTION open_names(refcursor) RETURNS refcursor LANGUAGE plpgsql AS
        'BEGIN OPEN $1 SCROLL FOR SELECT id, name FROM t ORDER BY id; RETURN $1; END'
"""


@case
def a_named_cursor_over_one_that_a_statement_has_opened(p: Probe) -> Any:
    found: list[Any] = []
    p.connection.cursor().execute(REFCURSOR)
    p.connection.commit()
    if p.connection.get_transaction_status() == 0 and p.connection.autocommit:
        p.connection.cursor().execute("BEGIN")
    opened = [
        lambda: p.connection.cursor().callproc("open_names", ["It's"]),
        lambda: p.connection.cursor().execute(
            """DECLARE "It's" SCROLL CURSOR FOR SELECT id, name FROM t ORDER BY id"""
        ),
    ]
    uses: list[Callable[[Any], Any]] = [
        lambda c: [c.fetchone(), c.fetchmany(1), c.rownumber, c.fetchall(), c.query, c.description is None],
        lambda c: [list(c), c.fetchone()],
        lambda c: [next(c), c.scroll(1), c.fetchone(), c.scroll(0, mode="absolute"), c.fetchmany(2)],
        lambda c: [],
    ]
    for open_it in opened:
        for use in uses:
            for factory in (None, extras.DictCursor):
                open_it()
                cursor = p.connection.cursor("It's", cursor_factory=factory)
                cursor.itersize = 2
                found += [use(cursor), cursor.close(), cursor.closed]
    with pytest.raises(psycopg2.Error) as raised:
        p.connection.cursor("It's").fetchone()
    return [*found, seen_error(raised.value), p.connection.get_transaction_status(), p.connection.rollback()]


@case
def a_named_cursor_over_one_that_is_held(p: Probe) -> Any:
    p.connection.cursor().execute("DECLARE held CURSOR WITH HOLD FOR SELECT name FROM t ORDER BY id")
    p.connection.commit()
    cursor = p.connection.cursor("held", withhold=True)
    found = [cursor.fetchone(), list(cursor), cursor.close(), p.connection.cursor("held", withhold=True).close()]
    cursor = p.connection.cursor()
    cursor.execute("SELECT count(*) FROM pg_cursors WHERE name = 'held'")
    return [*found, cursor.fetchall()]


@case
def a_named_cursor_over_nothing(p: Probe) -> Any:
    found: list[Any] = []
    calls: list[Callable[[Any], Any]] = [
        lambda c: c.fetchone(),
        lambda c: c.fetchall(),
        lambda c: list(c),
        lambda c: c.scroll(1),
        lambda c: c.close(),
    ]
    for call in calls:
        cursor = p.connection.cursor("nothing")
        try:
            found.append(call(cursor))
        except psycopg2.Error as error:
            found.append(seen_error(error))
        found += [p.connection.get_transaction_status(), p.connection.rollback()]
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", STEPS)
def test_is_the_same_in_lax(beside: SideBySide, name: str, mode: str) -> None:
    on_primary, in_lax = beside.in_mode(mode, STEPS[name])
    assert in_lax == on_primary
