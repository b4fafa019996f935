"""Jobs in workers of every kind, which fork or start threads, see what the request wrote that has asked for them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.nodes import environment_in, url
from tests.support.two_regions import TwoRegions
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.slow

CELERY = ["celery", "--app=tests.support.queues.celery_app", "worker", "--loglevel=INFO", "--concurrency=2"]
CELERY += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
HUEY = ["huey.bin.huey_consumer", "tests.support.queues.huey_app.huey", "--workers=2", "--no-periodic", "--delay=0.05"]
RQ = ["tests.support.queues.rq_app"]
TITLES = [f"post-{number}" for number in range(6)]


@contextmanager
def redis(place: Path) -> Iterator[None]:
    """A Redis server at a Unix socket; without one the test is skipped, or fails where CI is set."""
    if (program := shutil.which("redis-server")) is None:
        problem = "there is no redis-server on the PATH (Debian: apt-get install redis-server)"
        pytest.fail(problem) if os.environ.get("CI") else pytest.skip(problem)
    options = ["--port", "0", "--unixsocket", str(place), "--save", "", "--dir", str(place.parent)]
    server = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    try:
        until(place.exists)
        yield
    finally:
        server.kill()
        server.wait()


@contextmanager
def worker(command: list[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    """A worker, which is told to end at the end of the block, and does."""
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield
        process.terminate()
        process.wait(PATIENCE)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("queue", "command", "forks"),
    [
        ("celery", [*CELERY, "--pool=prefork"], True),
        ("celery", [*CELERY, "--pool=threads"], False),
        ("celery", [*CELERY, "--pool=gevent"], False),
        ("celery", [*CELERY, "--pool=solo"], False),
        ("huey", [*HUEY, "--worker-type=process"], True),
        ("huey", [*HUEY, "--worker-type=thread"], False),
        ("rq", [*RQ, "Worker"], True),
        ("rq", [*RQ, "SimpleWorker"], False),
    ],
    ids=["prefork", "threads", "gevent", "solo", "processes", "huey-threads", "fork-per-job", "simple"],
)
def test_a_job_sees_what_its_request_wrote_and_writes(
    regions: TwoRegions, tmp_path: Path, queue: str, command: list[str], forks: bool
) -> None:
    """The process that forks the workers, or is one, has used the database before."""
    regions.query("CREATE TABLE post (id serial PRIMARY KEY, title text)")
    regions.query(
        "CREATE TABLE ran (id serial PRIMARY KEY, title text, saw_post bool, pid int, thread bigint, main_pid int)"
    )
    regions.cluster.wait_for_replica()
    place = tmp_path / "queue"
    both = {"TEST_QUEUE": str(place), "FLY_ORM_NODES": f"syd={regions.wan.address}"}
    here = {**environment_in("syd"), **both, "DATABASE_URL": url(regions.cluster.primary, regions.name)}
    there = {**environment_in("lax"), **both, "DATABASE_URL": url(regions.cluster.replica, regions.name)}
    log = tmp_path / "log"
    with (
        nullcontext() if queue == "huey" else redis(place),
        worker(command, {**there, "USE_BEFORE_FORK": "yes", "FLY_ORM_WAITER": "polling"}, log),
    ):
        until(lambda: regions.query("SELECT count(*) FROM post") == 1)
        with regions.cluster.replay_paused():
            subprocess.run(
                [sys.executable, "-m", "tests.support.queues.request", queue, *TITLES], cwd=ROOT, env=here, check=True
            )
            until(lambda: regions.query("SELECT count(*) FROM ran") >= len(TITLES), log.read_text)
    assert regions.query("SELECT string_agg(title, ' ' ORDER BY title) FROM ran WHERE saw_post") == " ".join(TITLES)
    assert regions.query("SELECT count(*) FROM ran WHERE (pid <> main_pid) = " + str(forks)) == len(TITLES)
    if command[-1] == "Worker":
        assert regions.query("SELECT count(DISTINCT pid) FROM ran") == len(TITLES)
    assert "Traceback" not in log.read_text()
