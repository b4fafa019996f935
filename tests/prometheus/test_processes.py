"""The metrics of several processes, in one place: workers of gunicorn, and of ``fly-orm serve --workers``."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import peewee
import pytest

import fly_orm
from tests.project.test_snippets import snippet
from tests.support.gunicorn_server import gunicorn
from tests.support.nodes import node_process
from tests.support.scraping import scrape
from tests.support.two_regions import close, named, settings
from tests.support.waiting import PATIENCE, until
from tests.support.worker_processes import APP, until_all_serve, workers_of

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path):
    """The folder for the files with metrics."""
    made = tmp_path / "metrics"
    made.mkdir()
    return made


@pytest.mark.parametrize("preload", [False, True])
def test_any_worker_of_gunicorn_shows_what_all_have_done(regions, tmp_path, folder, preload):
    regions.query("CREATE TABLE post (id serial PRIMARY KEY, title text)")
    regions.cluster.wait_for_replica()
    (tmp_path / "gunicorn.conf.py").write_text(snippet("metrics.md", "python", "# gunicorn.conf.py"))
    options = ["--config", str(tmp_path / "gunicorn.conf.py"), *(["--preload"] if preload else [])]
    done: Counter[int] = Counter()
    with gunicorn(regions, *options, module="metrics_app", PROMETHEUS_MULTIPROC_DIR=str(folder)) as running:
        address = running.address.removeprefix("http://")
        with ThreadPoolExecutor(4) as clients:

            def all_have_posted():
                titles = [f"post-{done.total()}-{number}" for number in range(1, 9)]
                done.update(pid for pid, _, _ in clients.map(running.post, titles))
                return len(done) == 2

            until(all_have_posted)
        posts = done.total()
        shown = scrape(address)
        count, name = "fly_orm_statement_seconds_count", regions.name
        assert shown.value(count, database=name, route="primary", kind="write") == posts
        assert shown.value(count, database=name, route="local", kind="read") == posts
        assert shown.value("fly_orm_rpc_seconds_count", node_region="syd", kind="run") == posts
        until(lambda: scrape(address).value("fly_orm_replica_receiving", database=name) == 1)
        until(lambda: (scrape(address).value("fly_orm_channels", node_region="syd") or 0) >= 2)
        assert shown.value("fly_orm_info", region="lax") == 1
        running.stop()


def test_a_worker_of_gunicorn_that_ends_leaves_what_it_has_counted_and_no_gauges(regions, tmp_path, folder):
    regions.query("CREATE TABLE post (id serial PRIMARY KEY, title text)")
    regions.cluster.wait_for_replica()
    (tmp_path / "gunicorn.conf.py").write_text(snippet("metrics.md", "python", "# gunicorn.conf.py"))
    options = ["--config", str(tmp_path / "gunicorn.conf.py"), "--workers", "1"]
    with gunicorn(regions, *options, module="metrics_app", PROMETHEUS_MULTIPROC_DIR=str(folder)) as running:
        address = running.address.removeprefix("http://")
        first, _, _ = running.post("one")
        assert list(folder.glob(f"gauge_livesum_{first}.db"))
        os.kill(first, signal.SIGTERM)
        until(lambda: not list(folder.glob(f"gauge_*_{first}.db")))
        second, _, _ = running.post("two")
        assert second != first
        assert scrape(address).value("fly_orm_statement_seconds_count", route="primary", kind="write") == 2
        running.stop()


@pytest.fixture
def node(cluster, database, tmp_path):
    """A node with two workers, and the address at which it serves HTTP."""
    (tmp_path / "app.py").write_text(APP.format(database=database, **cluster.primary.params(database)))
    with node_process("app:db", "--workers=2", "--http=127.0.0.1:0", folder=tmp_path, fresh=True) as started:
        http = re.search("http://(.*)/readyz", started.process.stdout.readline())
        yield started, http[1]


def test_the_supervisor_shows_what_all_workers_have_done(cluster, database, node):
    started, http = node
    address = started.address()
    until_all_serve(address, 2)
    databases = [
        fly_orm.wrap(peewee.PostgresqlDatabase(**named(cluster.replica, database)), settings=settings("lax", address))
        for _ in range(4)
    ]
    databases[0].execute_sql("CREATE TABLE t (i int)")
    for number in range(12):
        databases[number % 4].execute_sql("INSERT INTO t VALUES (1)")
    shown = scrape(http)
    assert shown.value("fly_orm_node_request_seconds_count", kind="run") == 13
    until(lambda: scrape(http).value("fly_orm_node_pool_size", database=database) == 10)
    assert scrape(http).value("fly_orm_node_draining") == 0
    for each in databases:
        close(each)
    [folder] = {Path(each.environ()["PROMETHEUS_MULTIPROC_DIR"]) for each in workers_of(started.pid)}
    victim = workers_of(started.pid)[0]
    assert list(folder.glob(f"gauge_*_{victim.pid}.db"))
    victim.kill()
    until(lambda: not list(folder.glob(f"gauge_*_{victim.pid}.db")))
    assert scrape(http).value("fly_orm_node_request_seconds_count", kind="run") == 13
    started.process.send_signal(signal.SIGTERM)
    assert started.process.wait(PATIENCE) == 0
    assert not folder.exists()
