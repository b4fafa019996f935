"""All that psycopg2 offers, beyond execute() and fetchall(), does in lax what it does on the primary."""

import contextlib
import io
import pickle
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest
from psycopg2 import extensions as ext
from psycopg2 import extras, sql
from side_by_side import Probe, SideBySide, seen_error

import fly_orm

Step = Callable[[Probe], Any]
STEPS: dict[str, list[Any]] = {}


def case(function: Step) -> Step:
    """Compare what this function returns or raises, by itself and in a transaction."""
    STEPS[function.__name__] = [function, "SELECT * FROM t ORDER BY id"]
    return function


def rows_of(cursor: Any) -> Any:
    return cursor.rowcount, cursor.statusmessage, cursor.fetchall()


WRITE = "UPDATE t SET n = id RETURNING id, name"
READ = "SELECT id, name FROM t ORDER BY id"


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


@case
def copying_what_is_wrong(p: Probe) -> Any:
    cursor = p.connection.cursor()
    try:
        cursor.copy_from(io.StringIO("x\ty\n"), "t")
    except psycopg2.Error as error:
        return seen_error(error)
    return None


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
def with_connection(p: Probe) -> Any:
    found: list[Any] = []
    p.connection.rollback()
    with p.connection as entered, entered.cursor() as cursor:
        cursor.execute("INSERT INTO t (name) VALUES ('in with')")
        found += [entered is p.connection, p.state()]
    found.append(p.state())
    with pytest.raises(psycopg2.Error), p.connection, p.connection.cursor() as cursor:
        cursor.execute("INSERT INTO t (name) VALUES ('undone')")
        cursor.execute("INSERT INTO t (name) VALUES ('ann')")
    found.append(p.state())
    with pytest.raises(ZeroDivisionError), p.connection, p.connection.cursor() as cursor:
        cursor.execute("INSERT INTO t (name) VALUES ('undone')")
        1 / 0  # noqa: B018
    found.append(p.state())
    try:
        with p.connection, p.connection:
            pass
    except psycopg2.Error as error:
        found.append(seen_error(error))
    return [*found, p.state()]


@case
def commit_and_rollback(p: Probe) -> Any:
    found: list[Any] = []
    for end in ("commit", "rollback", "rollback", "commit"):
        p.connection.cursor().execute("INSERT INTO t DEFAULT VALUES")
        found += [p.state(), getattr(p.connection, end)(), p.state()]
    p.connection.cursor().execute("BEGIN")
    p.connection.cursor().execute("INSERT INTO t (name) VALUES ('mine')")
    return [*found, p.connection.rollback(), p.state(), p.connection.cursor().execute("COMMIT"), p.state()]


@case
def failing_commit(p: Probe) -> Any:
    p.connection.rollback()
    found: list[Any] = []
    try:
        with p.connection, p.connection.cursor() as cursor:
            cursor.execute("INSERT INTO child VALUES (99)")
    except psycopg2.Error as error:
        found.append(seen_error(error))
    return [*found, p.state()]


@case
def modes(p: Probe) -> Any:
    c, found = p.connection, []
    c.rollback()
    calls: list[Callable[[], Any]] = [
        lambda: c.set_session(isolation_level="SERIALIZABLE", readonly=True, deferrable=True),
        lambda: c.set_session(isolation_level=ext.ISOLATION_LEVEL_REPEATABLE_READ, readonly=False, deferrable=None),
        lambda: c.set_session(isolation_level="nonsense"),
        lambda: c.set_session(isolation_level=9),
        lambda: c.set_session(readonly="maybe"),
        lambda: c.set_session(isolation_level="default", readonly="default", deferrable="default"),
        lambda: setattr(c, "isolation_level", "read committed"),
        lambda: setattr(c, "readonly", True),
        lambda: setattr(c, "readonly", None),
        lambda: setattr(c, "deferrable", False),
        lambda: setattr(c, "deferrable", None),
        lambda: setattr(c, "isolation_level", None),
        lambda: c.set_isolation_level(ext.ISOLATION_LEVEL_SERIALIZABLE),
        lambda: c.set_isolation_level(None),
        lambda: c.set_isolation_level(7),
        lambda: c.set_isolation_level(ext.ISOLATION_LEVEL_AUTOCOMMIT),
        lambda: c.set_session(autocommit=False),
        lambda: setattr(c, "autocommit", True),
        lambda: c.reset(),
    ]
    cursor = c.cursor()
    for call in calls:
        try:
            call()
        except Exception as error:
            found.append(seen_error(error))
        cursor.execute("SHOW transaction_isolation")
        found += [cursor.fetchall(), p.state()]
        try:
            c.set_session(readonly=None)
        except psycopg2.Error as error:
            found.append(seen_error(error))
        found += [c.rollback(), p.state()]
    return found


@case
def modes_in_a_transaction(p: Probe) -> Any:
    found: list[Any] = []
    p.connection.cursor().execute("UPDATE t SET n = 7")
    for name, value in [("autocommit", True), ("isolation_level", 2), ("readonly", True), ("deferrable", True)]:
        try:
            setattr(p.connection, name, value)
        except psycopg2.Error as error:
            found.append(seen_error(error))
        found.append(p.state())
    return found


@case
def notices_and_facts(p: Probe) -> Any:
    c = p.connection
    c.cursor().execute("DO $$ BEGIN RAISE NOTICE 'one'; END $$")
    found = [c.notices, c.server_version, c.protocol_version, c.encoding, c.closed, c.async_, c.notifies]
    found += [c.info.server_version, c.info.dbname, c.info.user, c.info.status, c.info.error_message, c.info.options]
    found += [
        c.get_parameter_status("server_version"),
        c.get_dsn_parameters()["dbname"],
        c.cursor_factory,
        c.isexecuting(),
    ]
    c.notices = []
    c.cursor().execute("DO $$ BEGIN RAISE NOTICE 'two'; END $$")
    return [*found, c.notices, isinstance(c, ext.connection), c.fileno() > 0, c.string_types, c.binary_types]


@case
def an_error_survives_pickling(p: Probe) -> Any:
    with pytest.raises(psycopg2.IntegrityError) as raised:
        p.connection.cursor().execute("INSERT INTO t (name) VALUES ('ann')")
    again = pickle.loads(pickle.dumps(raised.value))
    cursor = raised.value.cursor
    return (
        again.args,
        again.pgcode,
        again.pgerror,
        type(again).__name__,
        isinstance(again, psycopg2.IntegrityError),
        cursor is not None,
    )


@case
def errors_can_be_caught(p: Probe) -> Any:
    try:
        p.connection.cursor().execute("INSERT INTO t (name) VALUES ('ann')")
    except psycopg2.errors.UniqueViolation as error:
        return (
            error.diag.constraint_name,
            error.diag.table_name,
            error.diag.sqlstate,
            issubclass(type(error), psycopg2.IntegrityError),
        )
    return None


@pytest.mark.parametrize("mode", ["autocommit", "transactions", "begun", "on the primary"])
@pytest.mark.parametrize("name", STEPS)
def test_is_the_same_in_lax(beside: SideBySide, name: str, mode: str) -> None:
    if mode == "begun" and name == "modes":
        pytest.skip("modes are of transactions that have not begun")
    steps = [*(["BEGIN", "UPDATE t SET n = 1"] if mode == "begun" else []), *STEPS[name]]
    with fly_orm.primary() if mode == "on the primary" else contextlib.nullcontext():
        on_primary, in_lax = beside.traces(steps, autocommit=mode != "transactions")
    assert in_lax == on_primary
