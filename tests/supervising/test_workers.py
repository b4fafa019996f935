"""``fly-orm serve --workers``: several processes serve one address, and look like one node."""

from __future__ import annotations

import signal
from contextlib import ExitStack

import peewee
import psutil
import pytest

import fly_orm
from tests.support.nodes import NodeProcess, node_process
from tests.support.two_regions import close, named, settings
from tests.support.waiting import until
from tests.support.worker_processes import APP, channel_to, spread, until_all_serve, workers_of


@pytest.fixture
def node(cluster, database, tmp_path):
    """Starts ``fly-orm serve app:db`` with options, and ends it and its workers."""
    (tmp_path / "app.py").write_text(APP.format(database=database, **cluster.primary.params(database)))
    with ExitStack() as undo:

        def start(*arguments: str, **variables: str) -> NodeProcess:
            started = undo.enter_context(node_process("app:db", *arguments, folder=tmp_path, **variables))
            undo.callback(kill_workers, started.pid)
            return started

        yield start


def kill_workers(pid):
    for worker in workers_of(pid) if psutil.pid_exists(pid) else []:
        worker.kill()


def lax(cluster, database, address, **options):
    db = peewee.PostgresqlDatabase(**named(cluster.replica, database))
    return fly_orm.wrap(db, settings=settings("lax", address), **options)


def test_all_workers_serve_the_address(cluster, database, node):
    started = node("--workers=2")
    address = started.address()
    until_all_serve(address, 2)
    assert len(workers_of(started.pid)) == 2
    db = lax(cluster, database, address)
    db.execute_sql("CREATE TABLE t (i int)")
    db.execute_sql("INSERT INTO t VALUES (1)")
    assert db.execute_sql("SELECT i FROM t").fetchall() == [(1,)]
    close(db)


def test_channels_are_spread_evenly(node):
    address = node("--workers=2").address()
    until_all_serve(address, 2)
    channels = [channel_to(address) for _ in range(8)]
    assert spread(channels) == [4, 4]
    for channel in channels:
        channel.close()


def test_a_worker_that_dies_is_replaced(cluster, database, node):
    started = node("--workers=2")
    address = started.address()
    until_all_serve(address, 2)
    victim = workers_of(started.pid)[0]
    victim.kill()
    until(lambda: len(workers_of(started.pid)) == 2 and victim not in workers_of(started.pid), "not replaced")
    until_all_serve(address, 2)
    started.process.send_signal(signal.SIGTERM)
    assert started.process.wait(60) == 0
    assert f"worker 1 (process {victim.pid}) has ended after" in started.process.stderr.read()


def test_workers_end_with_their_supervisor(node):
    started = node("--workers=2")
    until_all_serve(started.address(), 2)
    workers = workers_of(started.pid)
    started.process.kill()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert alive == []
