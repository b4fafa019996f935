"""What a node does about a result that is too long: its memory is bounded, and the error says what became of it."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager

import psycopg2
import pytest

from fly_orm.deadline import Deadline
from fly_orm.postgres.cursors import recent_notices
from fly_orm.postgres.notices import kept_as_they_come
from fly_orm.postgres.primary_pool import PrimaryPool
from fly_orm.postgres.profile import Profile
from fly_orm.protocol.encoding import decode_reply, encode
from fly_orm.protocol.messages import Copy, Copying, Done, Run
from fly_orm.serving.channel_executor import ChannelExecutor
from fly_orm.serving.executor import Executor
from fly_orm.settings import Settings
from fly_orm.testing import Wan

MOST = 64 * 1024
NO_EFFECT = f"the result is longer than {MOST} bytes; the statement has had no effect"
EXECUTED = f"the result is longer than {MOST} bytes; the statement was executed"
LONG = b"repeat('x', 100)"
#: 10 MB a second, for 100 seconds; it is not waited for.
STREAM = b"SELECT repeat('x', 100000), pg_sleep(0.01) FROM generate_series(1, 10000)"


@contextmanager
def channel_to(pool, most=MOST):
    executor = Executor("syd", [pool], None, limits=Settings().with_limits(max_result_bytes=most))  # type: ignore[arg-type]  # no function is called
    made = ChannelExecutor(executor)
    yield made
    made.gone()
    executor.timer.close()


@pytest.fixture
def channel(pool):
    with channel_to(pool) as made:
        yield made


@pytest.fixture
def ask(channel, database):
    lease = os.urandom(16)

    def say(*statements, opens_lease=True, **fields):
        run = Run(database=database, lease=lease, opens_lease=opens_lease, timeout=60, statements=statements, **fields)
        reply = decode_reply(channel.respond(encode(run)))
        assert isinstance(reply, Done), reply
        return reply

    return say


@pytest.fixture
def count(cluster, database):
    with closing(cluster.primary.connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (i int)")

        def count():
            cursor.execute("SELECT count(*) FROM t")
            return cursor.fetchone()[0]

        yield count


def problem(reply):
    assert reply.error is not None, reply.result
    assert reply.error.sqlstate == "54000"
    assert reply.error.diagnostics["message_hint"].startswith("Fetch less at once: with LIMIT")
    return reply.error.diagnostics["message_primary"]


def test_a_result_within_the_limit_arrives(ask):
    done = ask(b"SELECT repeat('x', 100) FROM generate_series(1, 600)")
    assert len(done.result.data[0]) == 600


@pytest.mark.parametrize(
    "query",
    [
        b"SELECT repeat('x', 100) FROM generate_series(1, 1000)",
        b"SELECT g FROM generate_series(1, 40000) g",
        b"SELECT NULL, g FROM generate_series(1, 20000) g",
    ],
)
def test_a_result_that_is_too_long_is_an_error(ask, query):
    assert problem(ask(query)) == EXECUTED


def test_a_result_that_goes_on_and_on_is_cancelled_while_it_arrives(ask):
    assert problem(ask(STREAM)) == NO_EFFECT
    assert ask(b"SELECT 1").result.data == [[b"1"]]


@pytest.fixture
def tcp_pool(cluster, database):
    server = cluster.primary
    with Wan(f"{server.host}/.s.PGSQL.{server.port}") as wan:
        host, port = wan.address.rsplit(":", 1)
        params = {**server.params(database), "host": host, "port": port}
        made = PrimaryPool(database, lambda: psycopg2.connect(**params), max_size=1)
        yield made
        made.close()


def test_that_holds_over_tcp_too(tcp_pool, database):
    with channel_to(tcp_pool) as channel:
        run = Run(database=database, lease=b"1", opens_lease=True, timeout=60, statements=[STREAM])
        assert problem(decode_reply(channel.respond(encode(run)))) == NO_EFFECT


def test_a_copy_that_goes_on_and_on_is_cancelled(ask):
    assert problem(ask(b"COPY (" + STREAM + b") TO STDOUT", copy_out=True)) == NO_EFFECT


@pytest.mark.parametrize("in_pieces", [False, True])
def test_a_row_of_a_copy_that_is_too_long_is_not_waited_for(tcp_pool, database, in_pieces):
    """A row is as long as a value may be, and psycopg2 passes it on only when all of it has arrived."""
    long = b"COPY (SELECT repeat('x', 40000000)) TO STDOUT"
    with channel_to(tcp_pool) as channel:
        fields = {"statements": [long], "copy_out": True, "copy_out_in_pieces": in_pieces}
        run = Run(database=database, lease=b"1", opens_lease=True, timeout=60, **fields)
        declined = decode_reply(channel.respond(encode(run)))
    assert declined.message.startswith(f"the result is longer than {MOST} bytes; the node has ended its connection")


def test_a_copy_of_many_rows_in_pieces_may_be_as_long_as_it_likes(tcp_pool, database):
    rows = b"COPY (SELECT repeat('x', 100000) FROM generate_series(1, 200)) TO STDOUT"  # 20 MB
    with channel_to(tcp_pool) as channel:
        fields = {"statements": [rows], "copy_out": True, "copy_out_in_pieces": True}
        reply = decode_reply(
            channel.respond(encode(Run(database=database, lease=b"1", opens_lease=True, timeout=60, **fields)))
        )
        size = 0
        while isinstance(reply, Copying):
            size += len(reply.data)
            reply = decode_reply(channel.respond(encode(Copy(lease=b"1", timeout=60))))
    assert reply.error is None
    assert size + len(reply.result.copied) == 200 * 100_001


def test_the_notices_of_a_copy_do_not_pile_up(pool):
    """psycopg2 keeps those of a statement that runs, and fly_orm keeps the last ones."""
    connection = pool.acquire(Profile("UTF8", ()), Deadline.after(5))
    cursor = connection.cursor()
    cursor.execute(
        "CREATE FUNCTION noisy(i int) RETURNS int LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE NOTICE '% %', i, repeat('n', 1000); RETURN i; END $$"
    )
    seen = []

    class File:
        def write(self, row):
            seen.append(len(connection.raw.notices))

    with kept_as_they_come(connection.raw):
        cursor.copy_expert("COPY (SELECT noisy(g) FROM generate_series(1, 1000) g) TO STDOUT", File())
    assert seen[:3] == [1, 2, 3], "they arrive before the rows do"
    kept = recent_notices(connection.raw)
    assert kept[-1].startswith("NOTICE:  1000 nnn")
    assert 200 < len(kept) < 300
    cursor.execute("DO $$ BEGIN RAISE NOTICE 'afterwards'; END $$")
    assert recent_notices(connection.raw)[-1] == "NOTICE:  afterwards\n", "the driver keeps them again"
    pool.release(connection)


def test_a_copy_that_is_a_little_too_long_is_an_error(ask):
    copy = b"COPY (SELECT repeat('x', 100) FROM generate_series(1, 700)) TO STDOUT"
    assert problem(ask(copy, copy_out=True)) in (EXECUTED, NO_EFFECT)  # it may be over before it is cancelled


@pytest.mark.parametrize(
    "write",
    [
        b"INSERT INTO t SELECT g FROM generate_series(1, 1000) g RETURNING i, " + LONG,
        b"INSERT INTO t VALUES (1) RETURNING repeat('x', 100000)",
        b"WITH w AS (INSERT INTO t SELECT g FROM generate_series(1, 1000) g RETURNING i) SELECT i, "
        + LONG
        + b" FROM w",
    ],
)
def test_a_write_whose_result_is_too_long_is_undone(ask, count, write):
    assert problem(ask(write)) == NO_EFFECT
    assert count() == 0


def test_a_copy_that_writes_and_returns_too_much_is_undone(ask, count):
    copy = b"COPY (INSERT INTO t SELECT g FROM generate_series(1, 1000) g RETURNING i, " + LONG + b") TO STDOUT"
    assert problem(ask(copy, copy_out=True)) == NO_EFFECT
    assert count() == 0


def test_a_write_that_returns_much_is_committed_with_its_position(ask, count):
    done = ask(b"INSERT INTO t SELECT g FROM generate_series(1, 100) g RETURNING i")
    assert (len(done.result.data[0]), done.result.status_message, done.transaction) == (100, "INSERT 0 100", 0)
    assert done.position.lsn > 0
    assert count() == 100


def test_a_write_that_returns_much_and_fails_leaves_nothing_open(ask, count):
    done = ask(b"INSERT INTO t SELECT 1 / (5 - g) FROM generate_series(1, 10) g RETURNING i")
    assert (done.error.sqlstate, done.transaction, done.lease_open) == ("22012", 0, False)
    assert count() == 0


@pytest.mark.parametrize(
    "statement",
    [
        b"CALL add('returning')",
        b"-- all of them, returning nothing\nCALL add('')",
        b"DO $$ DECLARE n int; BEGIN INSERT INTO t VALUES (1) RETURNING i INTO n; COMMIT; END $$",
        b"CREATE INDEX CONCURRENTLY returning_customers ON t (i)",
        b"VACUUM /* returning space */ t",
    ],
)
def test_the_word_returning_does_not_put_a_statement_into_a_transaction(ask, statement):
    ask(b"CREATE TABLE t (i int)")
    ask(b"CREATE PROCEDURE add(text) LANGUAGE plpgsql AS $$ BEGIN INSERT INTO t VALUES (1); COMMIT; END $$")
    assert ask(statement).error is None


def test_in_a_transaction_nothing_of_it_is_committed(ask, count):
    ask(b"INSERT INTO t VALUES (1)", preamble=[b"BEGIN"])
    failed = ask(b"SELECT " + LONG + b" FROM generate_series(1, 1000)", opens_lease=False)
    assert problem(failed) == NO_EFFECT
    assert failed.transaction == 3  # it has failed
    ended = ask(b"COMMIT", opens_lease=False, commits=True)
    assert ended.result.status_message == "ROLLBACK"
    assert count() == 0


@pytest.mark.parametrize(
    "long", [b"SELECT repeat('x', 2000000)", b"SELECT 1 /*" + 2_000_000 * b"x" + b"*/"], ids=["result", "statement"]
)
def test_the_buffers_that_a_long_one_has_filled_are_not_kept(cluster, database, long):
    def ask(*statements):
        run = Run(database=database, lease=os.urandom(16), opens_lease=True, timeout=60, statements=statements)
        return decode_reply(channel.respond(encode(run))).result.data[0][0]

    pool = PrimaryPool(database, lambda: cluster.primary.connect(database), max_size=1)
    executor = Executor("syd", [pool], None)  # type: ignore[arg-type]  # no function is called
    channel = ChannelExecutor(executor)
    first = ask(b"SELECT pg_backend_pid()")
    assert ask(b"SELECT pg_backend_pid()") == first
    ask(long)
    assert ask(b"SELECT pg_backend_pid()") != first
    channel.gone()
    executor.timer.close()
    pool.close()


@pytest.mark.parametrize("size", [1_000_000, 12_000_000])
def test_an_error_with_a_long_text_is_that_error(pool, database, size):
    """The text of a psycopg2 error has the message twice, and its diagnostics once more."""
    raises = b"DO $$ BEGIN RAISE EXCEPTION USING MESSAGE = repeat('x', %d), ERRCODE = 'P0999'; END $$" % size
    with channel_to(pool, 32 * 2**20) as channel:
        run = Run(database=database, lease=b"1", opens_lease=True, timeout=60, statements=[raises])
        reply = channel.respond(encode(run))
    done = decode_reply(reply)
    assert done.error.sqlstate == "P0999"
    assert done.error.message.endswith("characters)")
    assert len(reply) < 2**20


def test_what_a_session_listens_for_takes_no_memory(ask, channel):
    ask(b"LISTEN x", keeps_lease=True)
    for _ in range(3):
        assert ask(b"NOTIFY x, 'hello'", opens_lease=False, keeps_lease=True).error is None
    assert list(channel._lease._raw.notifies) == []
