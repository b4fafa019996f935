"""An application in gunicorn: workers that are forked, reloaded and recycled under load, and nothing that stays."""

from __future__ import annotations

import os
import re
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.project.test_snippets import snippet
from tests.support.gunicorn_server import NAME, gunicorn
from tests.support.ports import free_ports
from tests.support.two_regions import TwoRegions, settings
from tests.support.waiting import until

pytestmark = pytest.mark.slow


def connections(server: Any) -> int:
    return int(server.query(f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{NAME}'"))


def channels() -> int:
    """How many channels the node in this process has at the moment."""
    return sum(re.match(r"fly-orm-pyro5 \d+\.", thread.name) is not None for thread in threading.enumerate())


@pytest.mark.parametrize("preload", [False, True])
def test_workers_come_and_go_under_load_and_leave_nothing(regions: TwoRegions, preload: bool) -> None:
    regions.query("CREATE TABLE post (id serial PRIMARY KEY, title text)")
    regions.cluster.wait_for_replica()
    options = ["--preload"] if preload else []
    variables = {"USE_BEFORE_FORK": "yes"} if preload else {}
    titles = [f"post-{number}" for number in range(60)]
    with gunicorn(regions, "--max-requests", "15", *options, **variables) as running:
        with ThreadPoolExecutor(4) as clients:
            first = list(clients.map(running.post, titles[:20]))
            running.process.send_signal(signal.SIGHUP)  # replaces the workers, each once it has answered
            answers = first + list(clients.map(running.post, titles[20:]))
        running.stop()
    assert {(stored, route) for _, stored, route in answers} == {(1, "LOCAL")}
    assert len({pid for pid, _, _ in answers}) > 2
    assert not [line for line in running.lines if "Traceback" in line or "rror" in line]
    before = int(preload)
    assert regions.query("SELECT count(*) FROM post") == len(titles) + before
    until(lambda: connections(regions.cluster.replica) == 0)
    until(lambda: channels() == 0 and not regions.serving._executor._leases)


def serving_pid(port: int) -> int | None:
    """The process that listens at a port."""
    found = (each for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN)
    return next((each.pid for each in found if each.laddr.port == port), None)


def test_one_worker_serves_and_another_takes_over_when_it_ends(regions: TwoRegions, tmp_path: Path) -> None:
    regions.query("CREATE TABLE post (id serial PRIMARY KEY, title text)")
    regions.cluster.wait_for_replica()
    hooks = snippet("deploy/web-servers.md", "python", "# gunicorn.conf.py")
    (tmp_path / "gunicorn.conf.py").write_text(hooks.replace("shop.app", "tests.support.gunicorn_app"))
    [port] = free_ports(1)
    address = f"127.0.0.1:{port}"
    options = ["--config", str(tmp_path / "gunicorn.conf.py")]
    with gunicorn(regions, *options, region="syd", FLY_ORM_LISTEN=address, FLY_ORM_NODES=f"syd={address}") as running:
        until(lambda: serving_pid(port))
        lax = regions.lax(options={"settings": settings("lax", address)})
        first = serving_pid(port)
        lax.execute_sql("INSERT INTO post (title) VALUES ('first')")
        assert first is not None
        os.kill(first, signal.SIGTERM)  # what gunicorn does to a worker that it replaces
        for number in range(10):
            lax.execute_sql("INSERT INTO post (title) VALUES (%s)", (f"post-{number}",))
        until(lambda: serving_pid(port) not in (None, first))
        lax.execute_sql("INSERT INTO post (title) VALUES ('last')")
        running.stop()
    assert regions.query("SELECT count(*) FROM post") == 12
    assert not [line for line in running.lines if "Traceback" in line or "rror" in line]
