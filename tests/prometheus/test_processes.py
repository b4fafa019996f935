"""The metrics of several processes, in one place: workers of gunicorn, and of ``fly-orm serve --workers``."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
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
def start(cluster, database, tmp_path):
    """Starts a node with two workers; returns it, and the address at which it serves HTTP."""
    (tmp_path / "app.py").write_text(APP.format(database=database, **cluster.primary.params(database)))
    with ExitStack() as undo:

        def started(**variables):
            options = ("--workers=2", "--http=127.0.0.1:0")
            node = undo.enter_context(node_process("app:db", *options, folder=tmp_path, fresh=True, **variables))
            return node, re.search("http://(.*)/readyz", node.process.stdout.readline())[1]

        yield started


def test_the_supervisor_shows_what_all_workers_have_done(cluster, database, start):
    started, http = start()
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
    until(lambda: not list(folder.glob(f"*_{victim.pid}.db")))
    assert scrape(http).value("fly_orm_node_request_seconds_count", kind="run") == 13
    started.process.send_signal(signal.SIGTERM)
    assert started.process.wait(PATIENCE) == 0
    assert not folder.exists()


#: A part of an application that fills much of a file with metrics of its own, once it finds another file.
COUNTING = """
import pathlib, threading, time
import prometheus_client

seen = prometheus_client.Counter("seen", "what was seen", ["number"])

def see():
    while not pathlib.Path("go").exists():
        time.sleep(0.05)
    for number in range(500):
        seen.labels(number).inc()
    pathlib.Path(f"seen-by-{os.getpid()}").touch()

threading.Thread(target=see, daemon=True).start()
"""


@pytest.fixture
def small_folder(tmp_path):
    """A folder with space for a few files of metrics."""
    made = tmp_path / "small"
    made.mkdir()
    mount = shutil.which("mount")
    if not mount or subprocess.run([mount, "-t", "tmpfs", "-o", "size=256k", "tmpfs", made], check=False).returncode:
        pytest.skip("this user may not mount a file system")
    yield made
    subprocess.run(["umount", "--lazy", made], check=True)


def test_a_folder_without_space_costs_metrics_and_no_worker(cluster, database, start, small_folder, tmp_path):
    with (tmp_path / "app.py").open("a") as app:
        app.write(COUNTING)
    started, _ = start(TMPDIR=str(small_folder))
    until_all_serve(started.address(), 2)
    before = workers_of(started.pid)
    with suppress(OSError), (small_folder / "junk").open("wb", buffering=0) as junk:
        while junk.write(bytes(4096)):
            pass
    (tmp_path / "go").touch()
    until(lambda: workers_of(started.pid) != before or len(list(tmp_path.glob("seen-by-*"))) == 2)
    assert workers_of(started.pid) == before
    started.process.send_signal(signal.SIGTERM)
    _, log = started.process.communicate(timeout=PATIENCE)
    assert "the metrics of this process are incomplete" in log
    assert "SIGBUS" not in log


#: A process that counts more than a file of this size holds, and shows what it has counted, and what others see of it.
FILLING = """
import resource
from fly_orm.prometheus.reserving import reserve_files
reserve_files()
resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, 2**16))
import prometheus_client, prometheus_client.multiprocess
counter = prometheus_client.Counter("seen", "what was seen", ["number"])
for number in (*range(2000), 0, 1999):
    counter.labels(number).inc()
print(*(counter.labels(number)._value.get() for number in (0, 1, 1999)))
prometheus_client.multiprocess.MultiProcessCollector(registry := prometheus_client.CollectorRegistry())
print('seen_total{number="1"} 1.0' in prometheus_client.generate_latest(registry).decode())
"""


def test_a_process_goes_on_counting_for_itself_where_its_file_cannot_grow(folder):
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", FILLING], env=environment, capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    assert done.stdout.splitlines() == ["2.0 1.0 2.0", "True"]
    assert done.stderr.count("the metrics of this process are incomplete") == 1
