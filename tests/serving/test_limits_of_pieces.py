"""A result that travels in pieces may be as long as it likes, but none of its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from fly_orm.postgres.pooled_session import PooledSession
from fly_orm.postgres.primary_pool import PrimaryPool
from fly_orm.postgres.role_guard import GuardedCursor, RoleGuard
from fly_orm.postgres.starting import Start
from fly_orm.protocol.encoding import decode_reply, decode_values, encode
from fly_orm.protocol.messages import Copy, Copying, Declined, Reply, Run
from fly_orm.serving.channel_executor import ChannelExecutor
from fly_orm.serving.executor import Executor
from fly_orm.serving.result_pieces import stream_of
from fly_orm.settings import Settings
from fly_orm.testing import Cluster

MOST = 64 * 1024
LEASE = b"0123456789abcdef"
Ask = Callable[..., tuple[int, Reply]]


@pytest.fixture
def ask(pool: PrimaryPool, database: str) -> Iterator[Ask]:
    """How many rows came before the last reply to a statement, and that."""
    executor = Executor("syd", [pool], None, limits=Settings().with_limits(max_result_bytes=MOST))  # type: ignore[arg-type]  # no function is called
    channel = ChannelExecutor(executor)

    def respond(request: Run | Copy) -> Reply:
        reply = channel.respond(encode(request))
        assert reply is not None
        return decode_reply(reply)

    def ask(statement: bytes, **fields: Any) -> tuple[int, Reply]:
        given = {"opens_lease": True, "timeout": 60, "piece_bytes": 2**20, **fields}
        reply, rows = respond(Run(database=database, lease=LEASE, statements=[statement], **given)), 0
        while isinstance(reply, Copying):
            assert len(decode_values(reply.data)[0]) == reply.rows
            assert len(reply.data) <= 2 * MOST
            rows += reply.rows
            reply = respond(Copy(lease=LEASE, timeout=60))
        return rows, reply

    yield ask
    channel.gone()
    executor.timer.close()


def problem(reply: Any) -> tuple[str, str]:
    assert reply.error is not None
    return reply.error.sqlstate, reply.error.diagnostics["message_primary"].partition("; ")[2]


def test_many_rows_arrive(ask: Ask) -> None:
    rows, reply = ask(b"SELECT repeat('x', 50000) FROM generate_series(1, 200)")
    assert not isinstance(reply, Declined)
    assert reply.result.rows_before == rows  # type: ignore[union-attr]
    assert rows + reply.result.rows == 200  # type: ignore[union-attr]


@pytest.mark.parametrize("rows", [1, 50])
def test_a_row_that_is_too_long_is_an_error(ask: Ask, rows: int) -> None:
    query = b"SELECT repeat('x', CASE WHEN g = %d THEN 400000 ELSE 1 END) FROM generate_series(1, 60) g" % rows
    state, became = problem(ask(query)[1])
    assert state == "54000"
    assert became in ("the statement has had no effect", "the statement was executed")
    assert problem(ask(query, preamble=[b"BEGIN"])[1]) == ("54000", "the statement has had no effect")
    assert ask(b"SELECT 1")[1].error is None  # type: ignore[union-attr]


def test_a_write_that_returns_such_a_row_is_undone(ask: Ask, cluster: Cluster, database: str) -> None:
    ask(b"CREATE TABLE t (i int)")
    write = b"INSERT INTO t SELECT generate_series(1, 50) RETURNING i, repeat('x', i * 5000)"
    assert problem(ask(write)[1]) == ("54000", "the statement has had no effect")
    with closing(cluster.primary.connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM t")
        assert cursor.fetchone()[0] == 0


def test_a_huge_value_is_not_waited_for(ask: Ask) -> None:
    reply = ask(b"SELECT repeat('x', 100000000)")[1]
    if isinstance(reply, Declined):
        assert "the node has ended its connection" in reply.message
    else:
        assert problem(reply)[0] == "54000"


@pytest.mark.parametrize(
    ("statement", "may_change_role", "streams"),
    [
        (b"SELECT f()", False, True),
        (b"SELECT f()", True, False),
        (b"SELECT set_config('role', 'x', false)", False, False),
    ],
)
def test_the_driver_takes_the_result_whole_where_the_role_may_change(
    cluster: Cluster, statement: bytes, may_change_role: bool, streams: bool
) -> None:
    with closing(cluster.primary.connect("postgres")) as raw:
        cursor = raw.cursor(cursor_factory=GuardedCursor)
        cursor.guard = RoleGuard(raw, PooledSession(raw), Start("web", {}))
        cursor.may_change_role = may_change_role
        run = Run(database="", lease=LEASE, statements=[statement], piece_bytes=1)
        assert (stream_of(cursor, run) is not None) is streams
