"""Many rows at once: executemany, the helpers of psycopg2.extras, and procedures work in lax as on the primary."""

import io
from typing import Any

import psycopg2
import pytest
from psycopg2 import extensions as ext
from psycopg2 import extras, sql

from tests.support.side_by_side import MODES, Cases, Probe, SideBySide, rows_of, seen_error

STEPS = Cases()
case = STEPS.case


@case
def many(p: Probe) -> Any:
    cursor = p.connection.cursor()
    found: list[Any] = []
    insert = "INSERT INTO t (name, n) VALUES (%s, %s)"
    for query, rows in [
        (insert, [("x", 1), ("y", 2)]),
        (insert, []),
        ("SELECT %s", [(1,), (2,)]),
        (insert, iter([("z", 3)])),
    ]:
        found += [cursor.executemany(query, rows), cursor.rowcount, cursor.statusmessage]
    found += [cursor.executemany("UPDATE t SET n = %(n)s", [{"n": 1}, {"n": 2}]), cursor.rowcount]
    with pytest.raises(psycopg2.ProgrammingError) as raised:
        cursor.fetchall()
    return [*found, seen_error(raised.value)]


@case
def many_with_an_error(p: Probe) -> Any:
    cursor = p.connection.cursor()
    try:
        cursor.executemany("INSERT INTO t (name) VALUES (%s)", [("x",), ("ann",), ("never",)])
    except psycopg2.Error as error:
        return seen_error(error), cursor.rowcount
    return None


def rows_then(error: Exception) -> Any:
    yield ("g1",)
    yield ("g2",)
    raise error


@case
def many_from_a_generator_that_raises(p: Probe) -> Any:
    cursor, found = p.connection.cursor(), []
    insert, setting = "INSERT INTO t (name) VALUES (%s)", "SET application_name TO %s"
    for query in (insert, "SELECT %s", setting, "SELECT maybe(%s = 'x')"):
        with pytest.raises(KeyError) as raised:
            cursor.executemany(query, rows_then(KeyError("g3")))
        found += [seen_error(raised.value), cursor.rowcount, cursor.statusmessage]
    for wrong in (iter([]), 5, None):
        try:
            found.append(cursor.executemany("INSERT INTO t (name) VALUES (%s)", wrong))
        except Exception as error:
            found.append(seen_error(error))
    return found


@case
def many_with_one_that_cannot_be_bound(p: Probe) -> Any:
    cursor, found = p.connection.cursor(), []
    for wrong in ((), (1, 2), (object(),), ("\udc00",)):
        try:
            cursor.executemany("INSERT INTO t (name) VALUES (%s)", [(f"row before {wrong!r:.5}",), wrong, ("never",)])
        except Exception as error:
            found.append(type(error).__name__)
    return found


@case
def functions_that_write(p: Probe) -> Any:
    cursor, out = p.connection.cursor(), io.StringIO()
    found = [
        cursor.executemany("SELECT add(%s)", iter([("a",), ("b",)])),
        cursor.rowcount,
        cursor.callproc("add", ("c",)),
    ]
    cursor.copy_expert("COPY (SELECT add('d')) TO STDOUT", out)
    cursor.copy_to(out, "volatile")
    cursor.copy_expert("COPY (SELECT name FROM t ORDER BY id) TO STDOUT", out)
    held = p.connection.cursor("held", withhold=True)
    held.execute("SELECT count(*) FROM volatile")
    return [*found, out.getvalue(), held.fetchall(), held.close()]


@case
def batches(p: Probe) -> Any:
    cursor = p.connection.cursor()
    rows = [(f"row {i}", i) for i in range(250)]
    insert = "INSERT INTO t (name, n) VALUES %s RETURNING id, n"
    found = [extras.execute_values(cursor, insert, rows, fetch=True), cursor.rowcount]
    found += [extras.execute_values(cursor, "INSERT INTO t (n) VALUES %s", [(1,), (2,)]), cursor.rowcount]
    found += [extras.execute_batch(cursor, "UPDATE t SET n = %s WHERE id = %s", [(i, i) for i in range(205)])]
    found += [extras.execute_values(cursor, "SELECT v FROM (VALUES %s) AS x (v)", [(1,), (2,)], fetch=True)]
    return [*found, cursor.rowcount]


@case
def procedures(p: Probe) -> Any:
    cursor = p.connection.cursor()
    found = [cursor.callproc("upper", ("x",)), rows_of(cursor), cursor.callproc("add", ["new"]), rows_of(cursor)]
    found += [cursor.callproc("pair", {"a": 3, "b": 2}), rows_of(cursor), cursor.callproc("pg_backend_pid") == []]
    for wrong in (("nope", ()), ("upper", {1: "x"}), ("add", ("ann",))):
        try:
            cursor.callproc(*wrong)
        except Exception as error:
            found.append(seen_error(error))
            break
    return found


@case
def composed(p: Probe) -> Any:
    cursor, table = p.connection.cursor(), sql.Identifier("t")
    cursor.execute(
        sql.SQL("SELECT {} FROM {} WHERE id = {}").format(sql.Identifier("name"), table, sql.Placeholder()), [1]
    )
    found = [rows_of(cursor)]
    insert = sql.SQL("INSERT INTO {} (name) VALUES ({}) RETURNING name").format(table, sql.Literal("a'b"))
    cursor.execute(insert)
    found += [rows_of(cursor), insert.as_string(p.connection), insert.as_string(cursor), cursor.query]
    found += [ext.quote_ident('a"b', p.connection), ext.quote_ident('a"b', cursor), cursor.mogrify("SELECT %s", ["é'"])]
    adapted = ext.adapt("x'y")
    adapted.prepare(p.connection)
    return [*found, adapted.getquoted()]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", STEPS)
def test_is_the_same_in_lax(beside: SideBySide, name: str, mode: str) -> None:
    on_primary, in_lax = beside.in_mode(mode, STEPS[name])
    assert in_lax == on_primary
