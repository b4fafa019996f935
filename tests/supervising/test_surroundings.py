"""A node with workers on a system that is short of something, or does things in its own way."""

import os
import resource
import signal
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from fly_orm.errors import ConfigurationError
from fly_orm.sharing.board import Board
from tests.support.worker_processes import until_all_serve, until_ended, workers_of

needs_linux = pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="it takes Linux to do this")


@needs_linux
@pytest.mark.slow
def test_a_worker_that_the_system_cannot_start_now_is_tried_again(node):
    started = node("--workers=2")
    address = started.address()
    until_all_serve(address, 2)
    limits = resource.prlimit(started.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(started.pid, resource.RLIMIT_NOFILE, (psutil.Process(started.pid).num_fds(), limits[1]))
    workers_of(started.pid)[0].kill()
    assert any("worker 1 cannot be started ([Errno 24] Too many open files)" in line for line in started.process.stderr)
    resource.prlimit(started.pid, resource.RLIMIT_NOFILE, limits)
    until_all_serve(address, 2)


def test_a_node_whose_first_worker_the_system_cannot_start_says_that_it_ends(node, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.executable = '/missing'\n")
    started = node("--workers=2", PYTHONPATH=str(tmp_path))
    _, errors = started.process.communicate()
    assert started.process.returncode == 1
    assert "worker 1 cannot be started ([Errno 2] No such file or directory: '/missing'); this node ends\n" in errors
    assert "again" not in errors


@pytest.mark.slow
def test_a_hangup_of_all_processes_ends_no_worker_with_its_requests(node, lax):
    started = node("--workers=2")
    address = started.address()
    until_all_serve(address, 2)
    db, before = lax(address), workers_of(started.pid)
    with db.atomic():
        db.execute_sql("CREATE TABLE t (i int)")
        for process in before:
            process.send_signal(signal.SIGHUP)
        db.execute_sql("INSERT INTO t VALUES (1)")
    assert workers_of(started.pid) == before


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system gives no process a core of its own")
@pytest.mark.slow
def test_one_worker_for_one_core_is_replaced_too_without_a_failed_request(node, lax):
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        started = node("--workers=auto")
    finally:
        os.sched_setaffinity(0, cores)
    db = lax(started.address())
    assert "with 1 worker at" in started.announced
    [before] = workers_of(started.pid)
    with db.atomic():
        db.execute_sql("CREATE TABLE t (i int)")
        started.process.send_signal(signal.SIGHUP)
        db.execute_sql("INSERT INTO t VALUES (1)")
    until_ended([before])
    db.execute_sql("INSERT INTO t VALUES (2)")
    assert db.execute_sql("SELECT count(*) FROM t").fetchone() == (2,)
    assert workers_of(started.pid) != [before]


@needs_linux
@pytest.mark.slow
def test_no_socket_becomes_a_standard_stream_of_the_workers(node, tmp_path):
    closing = tmp_path / "python"
    closing.write_text(f'#!/bin/sh\nexec {sys.executable} "$@" <&-\n')
    closing.chmod(0o755)
    started = node("--workers=2", python=closing)
    started.address()
    for process in [psutil.Process(started.pid), *workers_of(started.pid)]:
        assert Path(f"/proc/{process.pid}/fd/0").readlink() == Path(os.devnull)


@pytest.fixture
def no_folder(monkeypatch, tmp_path):
    """No folder for temporary files, as in a container whose file system is read-only."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))


@needs_linux
def test_an_error_says_that_there_are_too_few_descriptors_for_so_many_workers(node, tmp_path):
    starting = tmp_path / "python"
    starting.write_text(f'#!/bin/sh\nulimit -n 64\nexec {sys.executable} "$@"\n')
    starting.chmod(0o755)
    started = node("--workers=200", python=starting)
    out, errors = started.process.communicate()
    assert (started.process.returncode, out) == (2, "")
    assert "cannot make what a node with 200 workers needs: [Errno 24] Too many open files; start fewer" in errors
    assert "Traceback" not in errors


@needs_linux
@pytest.mark.usefixtures("no_folder")
def test_workers_need_no_folder_for_what_they_share():
    board = Board.make(2)
    board.write(1, "channels", 7)
    assert Board(board.fd, 2).read("channels") == [0, 7]


@pytest.mark.usefixtures("no_folder")
def test_an_error_says_that_metrics_need_a_folder():
    pytest.importorskip("prometheus_client")
    from fly_orm.supervising.shared_metrics import SharedMetrics

    with pytest.raises(ConfigurationError, match="set TMPDIR to a folder"):
        SharedMetrics()
