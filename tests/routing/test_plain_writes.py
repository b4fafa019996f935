"""A plain write whose request was made before has, whatever has changed since, the request that it would be given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import psycopg2.errors
import pytest

import fly_orm
from fly_orm.classify import Statement
from fly_orm.classify.statement import Kind
from fly_orm.driver.connection import RoutingConnection
from fly_orm.lsn import LSN
from fly_orm.position import History, Position
from fly_orm.protocol.messages import Run
from fly_orm.routing.decide import State, decide
from fly_orm.routing.remote_connection import RemoteConnection
from fly_orm.routing.requests import Requests
from fly_orm.sessions.activity import ActivityLog
from fly_orm.sessions.context import current, entered
from fly_orm.sessions.session import Session
from tests.support.two_regions import TwoRegions

WRITE = "INSERT INTO t (n) VALUES (%s) RETURNING n"
PLAIN = Statement(kind=Kind.WRITE, why="INSERT")
#: What a request has of its own each time, or of its statement, which is a plain write.
OF_ITS_OWN = {"lease", "opens_lease", "timeout", "begin_by", "renews", "context", "statements"}
OF_OTHER_STATEMENTS = {
    *("batch", "copy_in", "broken_copy_in", "copy_in_begins", "copy_out", "copy_out_in_pieces", "resets", "watch"),
    *("piece_bytes", "commits", "ends_transaction", "commit_limited", "wants_id", "may_change_role"),
}
#: What a connection is opened with.
NEVER = {"database"}


class Writer:
    """A connection that writes, the requests that it sends, and how many of them it has made."""

    def __init__(self, connection: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.connection = connection
        self.cursor = connection.cursor()
        self.sent: list[Run] = []
        self.made = 0
        send, make = RemoteConnection._send, Requests.run

        def sending(remote: RemoteConnection, run: Run, *args: Any) -> Any:
            self.sent.append(run)
            return send(remote, run, *args)

        def making(*args: Any, **options: Any) -> Run:
            self.made += 1
            return make(*args, **options)

        monkeypatch.setattr(RemoteConnection, "_send", sending)
        monkeypatch.setattr(Requests, "run", making)

    def execute(self, sql: str) -> None:
        self.cursor.execute(sql)

    def write(self) -> Run:
        """The request of a plain write."""
        self.sent.clear()
        self.cursor.execute(WRITE, (1,))
        return self.sent[-1]

    def warm(self) -> Run:
        """The same, of one that has not been made anew."""
        for _ in range(5):
            made, run = self.made, self.write()
            if self.made == made:
                return run
        raise AssertionError("the request is made anew each time")

    def anew(self) -> Run:
        """The request of the same write if it were made now."""
        remote: Any = self.connection.remote
        make = remote._requests.run
        free, state = remote._lease is None, remote.has_state
        sqls = [self.cursor.mogrify(WRITE, (1,))]
        run: Run = make(self.connection, sqls, PLAIN, remote.transaction, opens_lease=free, has_state=state)
        return run


@pytest.fixture
def writer(regions: TwoRegions, monkeypatch: pytest.MonkeyPatch) -> Iterator[Writer]:
    regions.query("CREATE TABLE t (n int)")
    # While a second lasts, nothing but the stamp lets a request be made anew.
    monkeypatch.setattr("fly_orm.routing.idle_session.INTERVAL", 3600.0)
    database = regions.lax()
    with database.connection_context():
        yield Writer(database.connection(), monkeypatch)


def saw(writer: Writer) -> None:
    connection = writer.connection
    history = connection.router.local.replica.server(connection.instance).history
    connection.router.fence.saw(connection.database, History(history.system + 1, 7), "elsewhere")


def learnt(writer: Writer) -> None:
    server = writer.connection.router.local.replica.server(writer.connection.instance)
    server.history = History(server.history.system + 1, 7)


def resumed(writer: Writer) -> None:
    known = current().watermarks.known(writer.connection.database)
    assert known is not None
    current().watermarks.rise(writer.connection.database, Position(LSN(1), known.system + 1, 7))


def started(settings: dict[str, str]) -> Callable[[Writer], None]:
    return lambda writer: writer.connection.remote.session_settings.take_start(settings)


def is_old(writer: Writer) -> None:
    writer.connection.remote.session_settings.start_is_old = True


def role(writer: Writer) -> None:
    settings = writer.connection.remote.session_settings
    settings.start = type(settings.start)("somebody", settings.start.settings)


def execute(*statements: str) -> Callable[[Writer], None]:
    def change(writer: Writer) -> None:
        for sql in statements:
            writer.execute(sql)

    return change


def transaction(writer: Writer) -> None:
    writer.connection.autocommit = False


#: What changes a request, and the fields that it changes.
CHANGES: dict[str, tuple[Callable[[Writer], object], set[str]]] = {
    "client_encoding": (lambda writer: writer.connection.set_client_encoding("LATIN1"), {"encoding"}),
    "SET": (execute("SET work_mem = '5MB'"), {"session_settings"}),
    "a reported setting": (execute("SET TimeZone = 'Asia/Tokyo'"), {"session_settings"}),
    "a read that sets": (execute("SELECT set_config('work_mem', '5MB', false)"), {"session_settings"}),
    "a customized setting": (execute("SET app.tenant = 'ann'"), {"session_settings", "made_settings"}),
    "RESET ALL": (execute("SET work_mem = '5MB'", WRITE.replace("%s", "1"), "RESET ALL"), set()),
    "the start": (started({"work_mem": "5MB"}), {"start_settings"}),
    "an old start": (is_old, {"requested_settings"}),
    "the role": (role, {"role"}),
    "a newer timeline": (saw, {"newest"}),
    "the replica's timeline": (learnt, {"newest"}),
    "the session's timeline": (resumed, {"newest"}),
    "BEGIN": (execute("BEGIN"), {"preamble"}),
    "no autocommit": (transaction, {"preamble"}),
    "state": (execute("CREATE TEMP TABLE kept (n int)"), {"keeps_lease"}),
}
#: Blocks that do, and the fields.
BLOCKS: dict[str, tuple[Callable[[Writer], AbstractContextManager[Any]], set[str]]] = {
    "wait_for": (lambda _writer: fly_orm.wait_for("none"), {"wants_position"}),
    "with connection": (lambda writer: writer.connection, {"preamble"}),
    "operation": (lambda _writer: fly_orm.operation("one of a kind"), {"record"}),
}
#: Changes that the write itself takes back.
ONCE = {"BEGIN", "no autocommit", "with connection", "an old start", "the session's timeline"}
#: What else may decide where a write goes, of what decide() looks at.
STATES = {"here", "remote", "failed", "promoted", "primary_has_state"}


def test_a_request_is_used_again(writer: Writer) -> None:
    run = writer.warm()
    assert run == writer.anew()
    writer.execute("SELECT 1")
    made = writer.made
    assert writer.write() == run
    assert writer.made == made


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_seen(writer: Writer, name: str) -> None:
    change, fields = CHANGES[name]
    before = writer.warm()
    change(writer)
    check(writer, before, fields, lasts=name not in ONCE)


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_is_seen(writer: Writer, name: str) -> None:
    make, fields = BLOCKS[name]
    before = writer.warm()
    with ExitStack() as stack:
        stack.enter_context(make(writer))
        check(writer, before, fields, lasts=name not in ONCE)
        stack.pop_all()


def check(writer: Writer, before: Run, fields: set[str], *, lasts: bool = True) -> None:
    """Check that the next write's request differs from the one before in these fields, and is the one made for it."""
    try:
        run = writer.write()
    except psycopg2.Error:  # of a node that does not know what the change pretends
        run = writer.sent[-1]
    assert fields <= different(run, before)
    if lasts:
        assert different(run, writer.anew()) <= {"record"}  # whose id is another one each time


def different(one: Run, other: Run) -> set[str]:
    """The fields in which two requests differ."""
    return {name for name in Run.__struct_fields__ if getattr(one, name) != getattr(other, name)}


def test_an_activity_is_recorded(writer: Writer) -> None:
    writer.warm()
    session = Session(log := ActivityLog())
    session.watermarks = current().watermarks
    with entered(session):
        writer.write()
    assert writer.connection.router in log.by_database


def test_it_is_noted_that_the_server_is_a_replica(writer: Writer) -> None:
    writer.warm()
    local = writer.connection.router.local
    local.at_primary = True  # as another connection has found
    writer.write()
    assert local.at_primary is False


def test_a_promoted_server_takes_the_write_itself(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    writer.warm()
    writer.sent.clear()
    monkeypatch.setattr(RoutingConnection, "promoted", True)
    monkeypatch.setattr(RoutingConnection, "_is_checked", lambda _connection: True)
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):  # since it has not been promoted
        writer.cursor.execute(WRITE, (1,))
    assert not writer.sent


def test_a_transaction_on_the_replica_refuses_the_write(writer: Writer) -> None:
    writer.warm()
    writer.sent.clear()
    writer.execute("BEGIN READ ONLY")
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        writer.cursor.execute(WRITE, (1,))
    assert not writer.sent


def test_a_failed_transaction_refuses_the_write(writer: Writer) -> None:
    writer.warm()
    writer.execute("BEGIN")
    with pytest.raises(psycopg2.errors.UndefinedTable):
        writer.execute("INSERT INTO missing VALUES (1)")
    with pytest.raises(psycopg2.errors.InFailedSqlTransaction):
        writer.cursor.execute(WRITE, (1,))


def test_a_lost_session_is_not_written_over(writer: Writer) -> None:
    writer.warm()
    writer.connection.remote.gone = fly_orm.TransactionLost("gone")
    with pytest.raises(fly_orm.TransactionLost):
        writer.cursor.execute(WRITE, (1,))


def test_every_field_of_a_request_is_known_here() -> None:
    changed = set().union(*(fields for _, fields in (*CHANGES.values(), *BLOCKS.values())))
    assert changed | OF_ITS_OWN | OF_OTHER_STATEMENTS | NEVER == set(Run.__struct_fields__)


@pytest.mark.parametrize("name", State.__struct_fields__)
def test_everything_that_decides_where_a_write_goes_is_known_here(name: str) -> None:
    remote = State(remote=True) if name == "failed" else State()
    here = decide(PLAIN, remote), decide(PLAIN, State(**{name: True}))
    assert (here[0] != here[1]) == (name in STATES)
