"""Many rows at once: executemany, the helpers of psycopg2.extras, procedures and COPY work in lax as on the primary."""

import io
from collections.abc import Callable
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


@case
def copying(p: Probe) -> Any:
    cursor, found = p.connection.cursor(), []
    found += [cursor.copy_from(io.StringIO("10\tten\t1\n11\té\\\\\t\\N\n"), "t"), cursor.rowcount, cursor.statusmessage]
    found += [
        cursor.copy_from(io.BytesIO(b"12|twelve\n"), "t", sep="|", null="", columns=("id", "name")),
        cursor.rowcount,
    ]
    out = io.StringIO()
    found += [cursor.copy_to(out, "t", sep=",", null="nil", columns=("id", "name")), out.getvalue(), cursor.rowcount]
    data = io.BytesIO()
    cursor.copy_expert("COPY (SELECT name FROM t ORDER BY id) TO STDOUT WITH CSV HEADER", data)
    found += [data.getvalue(), cursor.rowcount, cursor.statusmessage, cursor.description]
    cursor.copy_expert(sql.SQL("COPY {} (name) FROM STDIN").format(sql.Identifier("t")), io.StringIO("composed\n"))
    binary = io.BytesIO()
    cursor.copy_expert("COPY t TO STDOUT WITH (FORMAT binary)", binary)
    cursor.execute("TRUNCATE t CASCADE")
    cursor.copy_expert("COPY t FROM STDIN WITH (FORMAT binary)", io.BytesIO(binary.getvalue()))
    return [*found, cursor.rowcount, cursor.query]


class Chunks:
    """A file over an iterator: read() returns the next chunk, whatever the size, and then nothing."""

    def __init__(self, *chunks: Any) -> None:
        self.chunks = iter(chunks)
        self.sizes: list[int] = []

    def read(self, size: int = -1) -> Any:
        self.sizes.append(size)
        chunk = next(self.chunks, "")
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    readline = read


class TextChunks(Chunks, io.TextIOBase):
    """The same as a text file."""


@case
def copying_from_chunks(p: Probe) -> Any:
    cursor, found = p.connection.cursor(), []
    for source in (Chunks("20\ta\n", b"21\tb\n", "22\t\u00e9\n"), TextChunks("23\tc\n", "24\td\n25\te\n", "2", "6\tf")):
        found += [cursor.copy_from(source, "t", columns=("id", "name"), size=7), cursor.rowcount, source.sizes]
    return found


def copying_fails_with(*chunks: Any) -> Callable[[Probe], Any]:
    def copying(p: Probe) -> Any:
        cursor, source = p.connection.cursor(), Chunks(*chunks)
        with pytest.raises(psycopg2.Error) as raised:
            cursor.copy_expert("COPY t (id, name) FROM STDIN", source)
        return seen_error(raised.value), cursor.rowcount, p.connection.get_transaction_status()

    return copying


for label, chunks in {
    "an error": ("30\ta\n", OSError("disk gone")),
    "an error of its own class": ("30\ta\n31", type("Mine", (Exception,), {})("no \u00e9\nat all")),
    "something else than text": ("30\ta\n", None, "31\tb\n"),
    "what the encoding lacks": ("30\ta\n", "31\t\udc00\n"),
    "nothing but an error": (KeyError("x"),),
}.items():
    STEPS[f"copying from a source that returns {label}"] = [copying_fails_with(*chunks), "SELECT count(*) FROM t"]


@case
def copying_writes_one_row_after_another(p: Probe) -> Any:
    found: list[Any] = []
    for base in (object, io.TextIOBase):
        written: list[Any] = []
        file: Any = type("Rows", (base,), {"write": lambda self, data: written.append(data)})()  # noqa: B023
        for query in ("t", "(SELECT add('d'))", "(SELECT 'é\n' FROM t)", "(SELECT 1 WHERE false)"):
            p.connection.cursor().copy_expert(f"COPY {query} TO STDOUT WITH (FORMAT csv)", file)
            p.connection.rollback()
        found.append(written)
    return found


@case
def copying_what_is_not_a_file(p: Probe) -> Any:
    cursor, found = p.connection.cursor(), []
    only_read = type("OnlyRead", (), {"read": lambda *a: ""})
    calls: list[Callable[[], Any]] = [
        lambda: cursor.copy_expert("COPY t FROM STDIN", None),
        lambda: cursor.copy_expert("COPY t TO STDOUT", object()),
        lambda: cursor.copy_from(None, "t"),
        lambda: cursor.copy_from(only_read(), "t"),
        lambda: cursor.copy_to("file", "t"),
        lambda: cursor.copy_to(only_read(), "t"),
        lambda: cursor.copy_from(io.StringIO(), "t", columns=5),
        lambda: cursor.copy_from(io.StringIO(), "t", columns=(5,)),
    ]
    for call in [*calls, cursor.close, *calls]:
        try:
            found.append(call())
        except Exception as error:
            found.append(seen_error(error))
        found.append(p.connection.get_transaction_status())
    return found


@case
def copying_what_is_wrong(p: Probe) -> Any:
    cursor = p.connection.cursor()
    try:
        cursor.copy_from(io.StringIO("x\ty\n"), "t")
    except psycopg2.Error as error:
        return seen_error(error)
    return None


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", STEPS)
def test_is_the_same_in_lax(beside: SideBySide, name: str, mode: str) -> None:
    on_primary, in_lax = beside.in_mode(mode, STEPS[name])
    assert in_lax == on_primary
