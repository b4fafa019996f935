"""A connection in lax does what psycopg2's does on the primary: modes, notices, and errors included."""

import io
import pickle
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import psycopg2
import pytest
from psycopg2 import extensions as ext
from psycopg2 import extras

from tests.support.one_table import one_table
from tests.support.side_by_side import MODES, Cases, Probe, SideBySide, seen_error
from tests.support.two_regions import TwoRegions
from tests.support.waiting import PATIENCE

STEPS = Cases()
case = STEPS.case


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
def setting_the_encoding_it_has_leaves_the_transaction_open(p: Probe) -> Any:
    p.connection.cursor().execute("UPDATE t SET n = 7")
    found = [p.connection.set_client_encoding(name) for name in ("utf-8", "UTF8", p.connection.encoding)]
    return [*found, p.state(), p.connection.commit()]


@case
def autocommit_by_isolation_level_keeps_the_level(p: Probe) -> Any:
    c, found = p.connection, []
    c.rollback()
    c.set_session(isolation_level="REPEATABLE READ", readonly=True, autocommit=False)
    for level in (ext.ISOLATION_LEVEL_AUTOCOMMIT, ext.ISOLATION_LEVEL_SERIALIZABLE, ext.ISOLATION_LEVEL_AUTOCOMMIT):
        c.set_isolation_level(level)
        found.append(p.state())
    return found


@case
def commands_that_end_a_read_only_transaction_and_begin_another(p: Probe) -> Any:
    c, cursor = p.connection, p.connection.cursor()
    c.rollback()
    c.set_session(readonly=True, autocommit=False)
    found: list[Any] = []
    for end in (c.rollback, c.commit):
        for statement in ("ROLLBACK", "BEGIN; INSERT INTO t (name) VALUES ('x')", "SELECT count(*) FROM t"):
            try:
                found += [cursor.execute(statement), p.state()]
            except psycopg2.Error as error:
                found.append(seen_error(error))
        found += [end(), c.get_transaction_status(), c.status]
    cursor.execute("SELECT count(*) FROM t")
    return [*found, cursor.fetchall(), p.state()[:2]]


@case
def what_never_reaches_the_server_begins_nothing(p: Probe) -> Any:
    cursor, found = p.connection.cursor(), []
    for rows in ([], [(1, 2)], [{"name": 1}]):
        try:
            cursor.executemany("INSERT INTO t (name) VALUES (%s)", rows)
        except Exception as error:
            found.append(seen_error(error))
        found += [cursor.query, p.state()]
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


class AppendOnly:
    """All that psycopg2 needs of ``connection.notices``."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def append(self, text: str) -> None:
        if len(self.texts) >= 3:
            raise OverflowError
        self.texts.append(text)


@case
def notices_may_be_kept_in_anything(p: Probe) -> Any:
    c, found = p.connection, []
    loud = "INSERT INTO t (name) SELECT shout('a' || n) FROM generate_series(%s, %s) n"
    for notices in (deque(maxlen=4), deque(), AppendOnly(), None, 5, (), []):
        c.notices = notices
        try:
            found.append(c.cursor().execute(loud, (len(found) * 100, len(found) * 100 + 60)))
            found += [c.commit(), c.rollback()]
        finally:
            kept, c.notices = c.notices, []
        found.append(kept.texts if isinstance(kept, AppendOnly) else kept)
    return found


@case
def notices_may_be_kept_in_anything_when_a_transaction_is_replaced(p: Probe) -> Any:
    c, found = p.connection, []
    c.rollback()
    c.set_session(readonly=True, autocommit=False)
    for notices in (deque(), None, AppendOnly()):
        c.cursor().execute("SELECT 1")
        c.notices = notices
        try:
            found += [c.cursor().execute("ROLLBACK"), c.cursor().execute("BEGIN; INSERT INTO t DEFAULT VALUES")]
            found.append(c.commit())
        finally:
            kept, c.notices = c.notices, []
        found.append(kept.texts if isinstance(kept, AppendOnly) else kept)
    return found


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


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", STEPS)
def test_is_the_same_in_lax(beside: SideBySide, name: str, mode: str) -> None:
    if name == "modes" and mode == "begun":
        return  # modes are of transactions that have not begun
    on_primary, in_lax = beside.in_mode(mode, STEPS[name])
    assert in_lax == on_primary


def logged(probe: Probe) -> Any:
    """What a LoggingConnection writes."""
    log = io.StringIO()
    probe.connection.initialize(log)
    with probe.connection.cursor() as cursor:
        for query in ("SELECT id FROM t ORDER BY id", "UPDATE t SET n = 3 RETURNING n", "SELECT nope"):
            try:
                cursor.execute(query)
                log.write(repr(cursor.fetchall()))
            except psycopg2.Error as error:
                log.write(repr(seen_error(error)))
        probe.connection.rollback()
        cursor.callproc("pair", [1, 2])
        cursor.callproc("add", ["x"])
    return log.getvalue()


def by_name(probe: Probe) -> Any:
    with probe.connection.cursor() as cursor:
        found = []
        for query in ("SELECT id, name FROM t ORDER BY id", "UPDATE t SET n = 3 RETURNING id, name"):
            cursor.execute(query)
            found += [cursor.fetchone(), cursor.fetchall()]
        return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("factory", "step"),
    [
        (extras.LoggingConnection, logged),
        (extras.DictConnection, by_name),
        (extras.RealDictConnection, by_name),
        (extras.NamedTupleConnection, by_name),
    ],
)
def test_the_users_own_connection_class_is_the_same_in_lax(
    beside: SideBySide, factory: Any, step: Any, mode: str
) -> None:
    steps = [step, lambda p: isinstance(p.connection, factory)]

    def prepare(connection: Any) -> None:
        if factory is extras.LoggingConnection:
            connection.initialize(io.StringIO())

    on_primary, in_lax = beside.in_mode(mode, steps, connection_factory=factory, prepare=prepare)
    assert in_lax == on_primary


@pytest.mark.parametrize("defers", [False, True], ids=["plain", "deferring"])
def test_a_commit_waits_for_another_threads_commit_of_the_same_transaction(regions: TwoRegions, defers: bool) -> None:
    connection = one_table(regions)._connect()
    connection.autocommit, connection.defers_transactions = False, defers
    connection.cursor().execute("INSERT INTO t (name) VALUES ('ann')")

    def commit() -> int:
        connection.commit()
        return int(regions.query("SELECT count(*) FROM t WHERE name = 'ann'"))

    with ThreadPoolExecutor(2) as threads:
        regions.wan.stall()
        commits = [threads.submit(commit) for _ in range(2)]
        assert not wait(commits, timeout=0.5).done
        regions.wan.heal()
        assert [each.result(PATIENCE) for each in commits] == [1, 1]
    connection.close()
