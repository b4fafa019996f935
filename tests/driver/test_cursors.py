"""A cursor in lax does what psycopg2's does on the primary, wherever its result came from."""

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg2
import pytest
from psycopg2 import extensions as ext
from psycopg2 import extras

import fly_orm
from tests.support.one_table import one_table
from tests.support.side_by_side import MODES, READ, WRITE, Cases, Probe, SideBySide, rows_of, seen, seen_error
from tests.support.two_regions import TwoRegions

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
def fetching_what_is_left(p: Probe) -> Any:
    found: list[Any] = []
    for query in (READ, WRITE):
        cursor = p.connection.cursor()
        cursor.execute(query)
        found += [cursor.fetchone(), cursor.fetchmany(-1), cursor.rownumber, cursor.fetchmany(-7), cursor.fetchall()]
        cursor.arraysize = -1
        cursor.execute(query)
        found += [cursor.fetchmany(), cursor.rownumber]
        for wrong in ("2", 1.5):
            with pytest.raises(TypeError) as raised:
                cursor.fetchmany(wrong)
            found.append(seen_error(raised.value))
    return found


@case
def an_error_has_its_cursor_or_none_and_no_other_error_behind_it(p: Probe) -> Any:
    cursor, found = p.connection.cursor(), []

    def out_of_bounds(mode: str) -> None:
        cursor.execute(WRITE)
        cursor.scroll(200, mode)

    for failing in (
        *[partial(cursor.execute, query) for query in ("", b"", " ", "-- nothing", b" ;")],
        *[partial(cursor.executemany, query, [()]) for query in ("", " ;")],
        *[partial(out_of_bounds, mode) for mode in ("relative", "absolute", "other")],
        partial(cursor.execute, "SELECT add('x'), 1 / (id - id) FROM t"),  # which a replica refuses to execute
    ):
        with pytest.raises(psycopg2.Error) as raised:
            failing()
        context = None if raised.value.__suppress_context__ else raised.value.__context__
        found.append((seen_error(raised.value), raised.value.cursor in (None, cursor), context))
        p.connection.rollback()
    return found


@case
def a_row_that_cannot_be_cast_is_skipped(p: Probe) -> Any:
    def cast(value: Any, cursor: Any) -> Any:
        if value == "bob":
            raise ValueError("no bob")
        return value

    found: list[Any] = []
    for query in (READ, WRITE):
        cursor = p.connection.cursor()
        ext.register_type(ext.new_type((25,), "PICKY", cast), cursor)
        cursor.execute(query)
        ext.register_type(ext.new_type((25,), "LATER", lambda value, cursor: "later"), cursor)
        for fetch in (cursor.fetchall, cursor.fetchone, cursor.fetchone):
            try:
                found += [fetch(), cursor.rownumber]
            except ValueError as error:
                found += [seen_error(error), cursor.rownumber]
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
def a_function_that_makes_cursors(p: Probe) -> Any:
    found: list[Any] = []
    for factory in (partial(extras.RealDictCursor), lambda *args, **options: extras.DictCursor(*args, **options)):
        for named in (None, "named"):
            for query in (READ, WRITE) if named is None else (READ,):
                with p.connection.cursor(named, cursor_factory=factory, withhold=bool(named)) as cursor:
                    cursor.execute(query)
                    found += [type(cursor).__name__, cursor.fetchone(), list(cursor)]
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
def a_subclass_counts_its_own_calls_only(p: Probe) -> Any:
    calls: list[str] = []

    def counting(name: str) -> Any:
        def method(self: Any, *args: Any, **options: Any) -> Any:
            calls.append(name)
            return getattr(super(own, self), name)(*args, **options)

        return method

    names = ["execute", "executemany", "callproc", "copy_expert", "copy_from", "copy_to", "scroll", "close"]
    names += ["fetchone", "fetchmany", "fetchall", "__next__"]
    own: Any = type("Own", (ext.cursor,), {name: counting(name) for name in names})
    for named in (None, "named"):
        with p.connection.cursor(named, cursor_factory=own, withhold=bool(named)) as cursor:
            cursor.execute(READ)
            list(cursor)
            if named is None:
                cursor.callproc("pair", [1, 2])
                cursor.callproc("add", ["x"])
                cursor.executemany("SET application_name TO %s", [("1",), ("2",)])
                cursor.executemany("INSERT INTO t (name) VALUES (%s)", [("y",), ("z",)])
                cursor.copy_from(io.StringIO("q\t1\n"), "t", columns=("name", "n"))
                cursor.copy_to(io.StringIO(), "t")
                cursor.execute(WRITE)
                list(cursor)
            calls.append("|")
            cursor.scroll(0, mode="absolute")
            cursor.fetchone(), cursor.fetchmany(1), cursor.fetchall()
    return calls


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


#: What fails before anything is executed.
REFUSED: dict[str, Callable[[Any], Any]] = {
    "a parameter that cannot be adapted": lambda cursor: cursor.execute("SELECT %s", (object(),)),
    "the same in a write": lambda cursor: cursor.execute("INSERT INTO t (name) VALUES (%s)", (object(),)),
    "the same in a setting": lambda cursor: cursor.execute("SET app.x TO %s", (object(),)),
    "the same in a COMMIT": lambda cursor: cursor.execute("COMMIT -- %s", (object(),)),
    "the same in a call": lambda cursor: cursor.callproc("add", (object(),)),
    "the same for many": lambda cursor: cursor.executemany("INSERT INTO t (name) VALUES (%s)", [(object(),)]),
    "the same in a read for many": lambda cursor: cursor.executemany("SELECT %s", [(object(),)]),
    "too few parameters": lambda cursor: cursor.execute("SELECT %s, %s", (1,)),
    "too few parameters of a write": lambda cursor: cursor.execute("INSERT INTO t VALUES (%s, %s)", ("a",)),
    "an empty query": lambda cursor: cursor.execute(""),
    "no query": lambda cursor: cursor.execute(None),
    "no text": lambda cursor: cursor.execute(5),
    "COPY of nothing": lambda cursor: cursor.copy_expert("", io.StringIO()),
    "COPY of no text": lambda cursor: cursor.copy_expert(5, io.StringIO()),
    "COPY without a file": lambda cursor: cursor.copy_expert("COPY t FROM STDIN", None),
}
for label, refused in REFUSED.items():

    @case
    def earlier(p: Probe, refused: Any = refused) -> Any:
        found = []
        for queries in ([READ], [WRITE], [READ, WRITE], [WRITE, READ], []):
            cursor = p.connection.cursor()
            for query in queries:
                cursor.execute(query)
            with pytest.raises((psycopg2.Error, TypeError, IndexError)):
                refused(cursor)
            try:
                found.append(cursor.fetchall())
            except psycopg2.ProgrammingError as error:
                found.append(str(error))
            # Before that, psycopg2 shows what described the earlier rows, also if they are gone.
            found.append((cursor.rowcount, cursor.rownumber, cursor.query, seen(cursor.description)))
        return found

    STEPS[f"What is shown after {label}"] = STEPS.pop("earlier")


AsIs = ext.AsIs
TAKE, TAKEN = AsIs("pg_try_advisory_lock(7)"), "SELECT pg_advisory_unlock(7), pg_advisory_unlock(7)"


class Place:
    """A type of the application's, whose adapter makes a call of it."""

    def __conform__(self, protocol: Any) -> Any:
        return AsIs("pg_try_advisory_lock(7) AND 'a' = 'a'")


class Items(dict[str, Any]):
    """Parameters that are made when they are asked for."""

    def __missing__(self, name: str) -> Any:
        return AsIs(f"pg_try_advisory_{name}(7)")


for label, run in {
    "execute": lambda cursor: cursor.execute("SELECT %s, %s", ("a", TAKE)),
    "a list": lambda cursor: cursor.execute("SELECT %s, %s", ["a", TAKE]),
    "a dict": lambda cursor: cursor.execute("SELECT %(x)s, %(x)s", {"x": TAKE}),
    "another mapping": lambda cursor: cursor.execute("SELECT %(lock)s", Items()),
    "an array": lambda cursor: cursor.execute("SELECT %s", ([TAKE, [TAKE]][:1],)),
    "a tuple": lambda cursor: cursor.execute("SELECT true IN %s", ((TAKE,),)),
    "an adapter": lambda cursor: cursor.execute("SELECT %s", (Place(),)),
    "a part of a name": lambda cursor: cursor.execute("SELECT pg_try_advisory_%s(%s)", (AsIs("lock"), 7)),
    "a name": lambda cursor: cursor.execute("SELECT %s(%s)", (AsIs('"pg_try_advisory_lock"'), 7)),
    "the arguments": lambda cursor: cursor.execute("SELECT pg_try_advisory_lock%s", (AsIs("(7)"),)),
    "executemany": lambda cursor: cursor.executemany("SELECT %s", [(1,), (TAKE,), (TAKE,)]),
    "callproc": lambda cursor: cursor.callproc("to_json", (TAKE,)),
    "callproc with names": lambda cursor: cursor.callproc(
        "make_date", {"year": AsIs("7 + pg_advisory_lock(7)::text::int")}
    ),
    "execute_batch": lambda cursor: extras.execute_batch(cursor, "SELECT %s", [(TAKE,)] * 2),
    "execute_values": lambda cursor: extras.execute_values(cursor, "SELECT * FROM (VALUES %s) x", [(TAKE,)] * 2),
    "several": lambda cursor: cursor.execute("SELECT 1; SELECT %s", (TAKE,)),
}.items():
    STEPS[f"SQL in parameters: {label}"] = [
        lambda p, run=run: (run(cursor := p.connection.cursor()), p.result(cursor)),
        TAKEN,
    ]


@case
def sql_in_the_parameters_of_a_named_cursor(p: Probe) -> Any:
    cursor = p.connection.cursor("c")
    cursor.execute("SELECT %s", (TAKE,))
    return cursor.fetchall()


STEPS["SQL in parameters"] = [
    ("SELECT %s", (AsIs("set_config('app.x', '5', false)"),)),
    "UPDATE t SET name = current_setting('app.x') WHERE id = 1 RETURNING name",
    ("%s", (AsIs("CREATE TEMP TABLE pad (i int)"),)),
    "SELECT * FROM pad",
    ("SELECT name FROM %s WHERE id = %s", (AsIs("t"), AsIs("1"))),
    ("SELECT %s::int[], %s", ([1, None], AsIs("'(1,2)'::point"))),
    ("%s app.x TO %s", (AsIs("SET"), 7)),
    "UPDATE t SET name = current_setting('app.x') WHERE id = 1 RETURNING name",
    ("SELECT %s", (object(),)),
    ("SELECT %s", 5),
    ("SELECT %s", "a"),
    ("SELECT %s, %s", (AsIs("add('x')"),)),
    ("SELECT %(a)s", {"b": AsIs("add('x')")}),
    ("SELECT %s", (AsIs("add('x')"),)),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", STEPS)
def test_is_the_same_in_lax(beside: SideBySide, name: str, mode: str) -> None:
    on_primary, in_lax = beside.in_mode(mode, STEPS[name])
    assert in_lax == on_primary


@pytest.mark.parametrize("sql", ["LISTEN heard", "COPY t FROM STDIN"])
def test_earlier_rows_are_gone_after_what_is_refused(regions: TwoRegions, sql: str) -> None:
    db = one_table(regions)
    for query in ("SELECT 1", "INSERT INTO t (name) VALUES ('ann') RETURNING id"):
        cursor = db.cursor()
        cursor.execute(query)
        with pytest.raises((psycopg2.Error, fly_orm.NotSupported)):
            cursor.execute(sql)
        with pytest.raises(psycopg2.ProgrammingError, match="no results to fetch"):
            cursor.fetchall()
