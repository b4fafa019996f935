"""Session settings are statements of the caller's: they may neither keep a place of the node nor fill its memory."""

from __future__ import annotations

import os
import threading
from contextlib import closing

import pytest

from fly_orm.postgres import primary_pool
from fly_orm.postgres.primary_pool import PrimaryPool
from fly_orm.protocol.encoding import decode_reply, encode
from fly_orm.protocol.messages import Declined, Done, Run, Settle
from fly_orm.serving.channel_executor import ChannelExecutor
from fly_orm.serving.executor import Executor
from fly_orm.settings import Settings
from tests.support.waiting import until

MOST = 64 * 1024
HANG = b"SELECT pg_sleep(600)"


@pytest.fixture
def channel(cluster, database):
    """Makes a channel of a peer to a node of three connections."""
    pool = PrimaryPool(database, lambda: cluster.primary.connect(database), max_size=3, max_result_bytes=MOST)
    limits = Settings().with_limits(pool_size=3, peer_leases=2, max_result_bytes=MOST)
    executor = Executor("syd", [pool], None, limits=limits)  # type: ignore[arg-type]  # no function is called
    made = []

    def make(peer="one"):
        made.append(ChannelExecutor(executor, peer))
        return made[-1]

    yield make
    for each in made:
        each.gone()
    executor.timer.close()
    pool.close()


@pytest.fixture
def ask_postgres(cluster):
    with closing(cluster.primary.connect("postgres")) as connection, connection.cursor() as cursor:
        connection.autocommit = True

        def ask_postgres(what, database):
            asleep = "FROM pg_stat_activity WHERE datname = %s AND wait_event = 'PgSleep'"
            cursor.execute(f"SELECT {what} {asleep}", [database])
            return cursor.fetchall()

        yield ask_postgres


@pytest.fixture
def sleepers(ask_postgres, database):
    """Counts the sessions that sleep."""
    return lambda: ask_postgres("count(*)", database)[0][0]


@pytest.fixture
def end_sleepers(ask_postgres, database):
    return lambda: ask_postgres("pg_terminate_backend(pid)", database)


def run(database, *settings, timeout=None):
    return Run(
        database=database,
        lease=os.urandom(16),
        opens_lease=True,
        timeout=timeout,
        session_settings=settings,
        statements=[b"SELECT 1"],
    )


def ask(channel, request):
    return decode_reply(channel.respond(encode(request)))


def test_settings_that_take_long_give_their_place_back(channel, database, monkeypatch, sleepers):
    monkeypatch.setattr(primary_pool, "SETTINGS_TIMEOUT", 0.2)
    for _ in range(3):  # more than a peer may have
        assert ask(channel(), run(database, HANG)).reason == "unavailable"
    monkeypatch.undo()
    assert isinstance(ask(channel(), run(database)), Done)
    until(lambda: sleepers() == 0)


def test_the_result_of_settings_is_bounded(channel, database):
    endless = b"SELECT repeat('x', 100000), pg_sleep(0.01) FROM generate_series(1, 100000)"  # of 10 GB
    assert isinstance(ask(channel(), run(database, endless)), Declined)


def test_a_peer_that_asks_what_became_of_its_requests_leaves_places_to_others(
    channel, database, monkeypatch, sleepers, end_sleepers
):
    monkeypatch.setattr(primary_pool, "SETTINGS_TIMEOUT", 600.0)
    question = Settle(run=run(database, HANG), id="x")
    askers = [threading.Thread(target=ask, args=(channel(), question)) for _ in range(3)]
    for each in askers:
        each.start()
    until(lambda: sleepers() == 1)
    for _ in range(20):  # while one of them sleeps, the others wait
        assert isinstance(ask(channel("two"), run(database, timeout=60)), Done)
        assert sleepers() == 1
    until(lambda: end_sleepers() == [] and not any(each.is_alive() for each in askers))
