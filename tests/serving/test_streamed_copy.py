"""What a node replies while a COPY runs piece by piece, and to requests that do not go with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fly_orm.deadline import now
from fly_orm.postgres.primary_pool import PrimaryPool
from fly_orm.protocol.encoding import decode_reply, encode
from fly_orm.protocol.messages import Cancel, Copy, Copying, Declined, Done, Release, Renew, Reply, Request, Run
from fly_orm.serving.channel_executor import ChannelExecutor
from fly_orm.serving.executor import Executor
from fly_orm.testing import Cluster
from tests.support.waiting import until

LEASE = b"0123456789abcdef"
Ask = Callable[[Request], Reply]


@pytest.fixture
def channel(pool: PrimaryPool) -> Iterator[ChannelExecutor]:
    executor = Executor("syd", [pool], None)  # type: ignore[arg-type]  # no function is called
    made = ChannelExecutor(executor)
    yield made
    made.gone()
    until(lambda: not executor._leases)
    executor.timer.close()


@pytest.fixture
def ask(channel: ChannelExecutor) -> Ask:
    def ask(request: Request) -> Reply:
        reply = channel.respond(encode(request))
        assert reply is not None
        return decode_reply(reply)

    return ask


@pytest.fixture
def begun(ask: Ask, database: str) -> Ask:
    """A COPY that has taken its first piece."""
    assert isinstance(ask(run(database, b"CREATE TABLE t (i int)")), Done)
    assert isinstance(ask(run(database, b"COPY t FROM STDIN", copy_in_begins=b"1\n")), Copying)
    return ask


def run(database: str, statement: bytes, **fields: Any) -> Run:
    return Run(**{"database": database, "lease": LEASE, "opens_lease": True, "statements": [statement], **fields})


def stored(cluster: Cluster, database: str) -> int:
    with cluster.primary.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM t")
        return int(cursor.fetchone()[0])


def reason(reply: Reply) -> str:
    assert isinstance(reply, Declined), reply
    return reply.reason


def test_the_last_piece_is_answered_as_the_statement(cluster: Cluster, database: str, begun: Ask) -> None:
    assert isinstance(begun(Copy(lease=LEASE, data=b"2\n")), Copying)
    done = begun(Copy(lease=LEASE, data=b"3\n", last=True))
    assert isinstance(done, Done)
    assert done.result is not None
    assert (done.result.row_count, done.lease_open) == (3, False)
    assert done.position is not None
    assert stored(cluster, database) == 3


@pytest.mark.parametrize("last", [False, True])
def test_a_piece_that_comes_too_late_is_declined(cluster: Cluster, database: str, begun: Ask, last: bool) -> None:
    late = Copy(lease=LEASE, data=b"2\n", last=last, begin_by=now() - 0.001, timeout=1.0)
    assert reason(begun(late)) == "lost"
    assert reason(begun(Copy(lease=LEASE, data=b"3\n", last=True))) == "lost"
    assert stored(cluster, database) == 0


def test_a_piece_for_another_lease_is_declined(begun: Ask) -> None:
    assert reason(begun(Copy(lease=b"another", data=b"2\n"))) == "lost"


def test_a_piece_of_nothing_is_declined(ask: Ask, database: str) -> None:
    assert reason(ask(Copy(lease=LEASE, data=b"2\n"))) == "lost"
    assert isinstance(ask(run(database, b"BEGIN")), Done)
    assert reason(ask(Copy(lease=LEASE, data=b"2\n"))) == "lost"


def test_nothing_else_runs_in_its_lease(cluster: Cluster, database: str, begun: Ask) -> None:
    assert reason(begun(run(database, b"SELECT 1", opens_lease=False))) == "bad request"
    assert isinstance(begun(Renew(lease=LEASE)), Done)
    assert isinstance(begun(Copy(lease=LEASE, data=b"2\n", last=True)), Done)
    assert stored(cluster, database) == 2


def test_it_ends_with_its_lease(cluster: Cluster, database: str, begun: Ask) -> None:
    begun(Release())
    until(lambda: all(thread.name != "fly_orm copy" for thread in threading.enumerate()))
    assert isinstance(begun(run(database, b"SELECT 1")), Done)
    assert stored(cluster, database) == 0


def test_another_lease_takes_its_place(cluster: Cluster, database: str, begun: Ask) -> None:
    assert isinstance(begun(run(database, b"SELECT 1", lease=b"another")), Done)
    assert stored(cluster, database) == 0


def test_a_node_without_a_thread_for_it_declines(
    ask: Ask, database: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(run(database, b"CREATE TABLE t (i int)"))

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert reason(ask(run(database, b"COPY t FROM STDIN", copy_in_begins=b"1\n"))) == "busy"
    assert isinstance(ask(run(database, b"SELECT 1")), Done)


def test_cancelling_it_takes_effect_with_the_next_piece(cluster: Cluster, database: str, begun: Ask) -> None:
    begun(Cancel(lease=LEASE))
    done = begun(Copy(lease=LEASE, data=b"2\n", last=True))
    assert isinstance(done, Done)
    assert done.error is not None
    assert done.error.sqlstate == "57014"
    assert stored(cluster, database) == 0
