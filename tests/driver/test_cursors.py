"""A cursor in lax does what psycopg2's does on the primary, wherever its result came from."""

from collections.abc import Callable
from typing import Any

import psycopg2
import pytest
from psycopg2 import extensions as ext
from psycopg2 import extras

from tests.support.side_by_side import MODES, READ, WRITE, Cases, Probe, SideBySide, rows_of, seen_error

STEPS = Cases()
case = STEPS.case


@case
def fetching(p: Probe) -> Any:
    found = []
    for query in (READ, WRITE):
        cursor = p.connection.cursor()
        cursor.execute(query)
        found += [cursor.fetchone(), cursor.rownumber, cursor.fetchmany(), cursor.fetchmany(5), cursor.fetchone()]
        cursor.execute(query)
        cursor.arraysize = 2
        found += [cursor.fetchmany(), cursor.fetchall(), cursor.fetchall(), cursor.rownumber]
        cursor.execute(query)
        found += [list(cursor), next(cursor, "over"), cursor.rownumber, cursor.fetchmany(0), cursor.fetchmany(size=1)]
    return found


@case
def scrolling(p: Probe) -> Any:
    found: list[Any] = []
    for query in (READ, WRITE):
        cursor = p.connection.cursor()
        cursor.execute(query)
        for arguments in [(2,), (-1,), (0, "absolute"), (3,), (3, "absolute"), (-1, "absolute"), (1, "sideways")]:
            try:
                found += [cursor.scroll(*arguments), cursor.rownumber, cursor.fetchone()]
            except Exception as error:
                found.append(seen_error(error))
    return found


@case
def no_results(p: Probe) -> Any:
    found: list[Any] = []
    for query in ("SET work_mem = '1MB'", "UPDATE t SET n = 1"):
        cursor = p.connection.cursor()
        cursor.execute(query)
        for method in ("fetchone", "fetchall", "fetchmany", "__next__"):
            with pytest.raises(psycopg2.ProgrammingError) as raised:
                getattr(cursor, method)()
            found.append(seen_error(raised.value))
        with pytest.raises(psycopg2.ProgrammingError) as raised:
            cursor.scroll(1)
        found.append(seen_error(raised.value))
    return found


@case
def closed_cursor(p: Probe) -> Any:
    found: list[Any] = []
    for query in (READ, WRITE):
        cursor = p.connection.cursor()
        cursor.execute(query)
        cursor.close()
        cursor.close()
        found += [cursor.closed, cursor.description is None]
        for call in (cursor.fetchone, cursor.fetchall, lambda: cursor.execute(READ), lambda: cursor.execute(WRITE)):  # noqa: B023
            with pytest.raises(psycopg2.InterfaceError) as raised:
                call()
            found.append(seen_error(raised.value))
        with pytest.raises(psycopg2.InterfaceError) as raised:
            list(cursor)
        found.append(seen_error(raised.value))
    return found


@case
def new_cursor(p: Probe) -> Any:
    cursor = p.connection.cursor()
    found = [cursor.description, cursor.rowcount, cursor.rownumber, cursor.statusmessage, cursor.query, cursor.name]
    found += [cursor.arraysize, cursor.itersize, cursor.scrollable, cursor.withhold, cursor.closed, cursor.lastrowid]
    with pytest.raises(psycopg2.ProgrammingError) as raised:
        cursor.fetchone()
    return [*found, seen_error(raised.value), cursor.connection is p.connection]


@case
def reused_cursor(p: Probe) -> Any:
    cursor, found = p.connection.cursor(), []
    for query in (READ, WRITE, READ, WRITE):
        cursor.execute(query)
        found.append(rows_of(cursor))
    return found


@case
def cursor_after_an_error(p: Probe) -> Any:
    found: list[Any] = []
    for query in (READ, WRITE):
        for wrong in ("SELECT nope", "UPDATE nope SET a = 1"):
            cursor = p.connection.cursor()
            cursor.execute("SAVEPOINT s" if p.connection.get_transaction_status() else "SELECT 1")
            cursor.execute(query)
            with pytest.raises(psycopg2.Error):
                cursor.execute(wrong)
            found += [cursor.rowcount, cursor.statusmessage, cursor.description, cursor.query]
            with pytest.raises(psycopg2.Error) as raised:
                cursor.fetchall()
            found.append(seen_error(raised.value))
            if p.connection.get_transaction_status():
                cursor.execute("ROLLBACK TO s")
    return found


@case
def cursor_classes(p: Probe) -> Any:
    found: list[Any] = []
    for factory in (extras.DictCursor, extras.RealDictCursor, extras.NamedTupleCursor, ext.cursor, None):
        for query in (READ, WRITE):
            with p.connection.cursor(cursor_factory=factory) as cursor:
                found.append(isinstance(cursor, factory or ext.cursor))
                found.append(type(cursor).__name__ if factory not in (ext.cursor, None) else None)
                cursor.execute(query)
                row = cursor.fetchone()
                found += [row, cursor.fetchmany(1), list(cursor)]
                if isinstance(cursor, extras.DictCursor):
                    found += [row["name"], row[0], dict(row)]
                elif isinstance(cursor, extras.NamedTupleCursor):
                    found.append((row.name, row._asdict()))
    return found


@case
def named_tuple_cursor_changes_its_query(p: Probe) -> Any:
    with p.connection.cursor(cursor_factory=extras.NamedTupleCursor) as cursor:
        found = []
        for query in (READ, WRITE, "SELECT 1 AS one", "UPDATE t SET n = 2 RETURNING n AS two"):
            cursor.execute(query)
            found.append([row._asdict() for row in cursor.fetchall()])
        return found


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


@case
def a_subclass_that_changes_rows_changes_each_once(p: Probe) -> Any:
    class Doubling(ext.cursor):
        def fetchone(self) -> Any:
            row = super().fetchone()
            return None if row is None else row * 2

        def __next__(self) -> Any:
            return super().__next__() * 2

    found: list[Any] = []
    for query in (READ, WRITE):
        cursor = p.connection.cursor(cursor_factory=Doubling)
        cursor.execute(query)
        found += [cursor.fetchone(), list(cursor)]
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", STEPS)
def test_is_the_same_in_lax(beside: SideBySide, name: str, mode: str) -> None:
    on_primary, in_lax = beside.in_mode(mode, STEPS[name])
    assert in_lax == on_primary
