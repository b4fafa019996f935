"""Commands whose output cannot be written say so, and nodes serve all the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fly_orm.errors import NotDelivered
from tests.support.nodes import node_process, plain_environment
from tests.support.ports import free_ports
from tests.support.two_regions import AMPLE
from tests.support.waiting import until
from tests.support.worker_processes import APP, channel_to

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="there is no device that is always full")


def run(*arguments, stdout, stderr=subprocess.PIPE):
    """The exit status and the errors of a command."""
    command = [sys.executable, "-m", "fly_orm", *arguments]
    done = subprocess.run(
        command, stdout=stdout, stderr=stderr, text=True, env=plain_environment(), timeout=AMPLE * 4, check=False
    )
    return done.returncode, done.stderr


@pytest.fixture
def unread():
    """A pipe of which the reader has ended."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


COMMANDS = [["secret"], ["transports"], ["ledger", "sql", "--role=app"], ["status"], ["check", "--json"]]


@needs_full
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_full_disk_is_an_error(command):
    with FULL.open("w") as full:
        status, errors = run(*command, stdout=full)
    assert status == 2
    assert errors.endswith("fly-orm: cannot write to standard output: [Errno 28] No space left on device\n")
    assert "Traceback" not in errors


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_reader_that_has_ended_is_not_worth_a_word(command, unread):
    status, errors = run(*command, stdout=unread)
    assert status == 128 + signal.SIGPIPE
    assert "Traceback" not in errors
    assert "standard output" not in errors


@needs_full
def test_help_and_errors_that_cannot_be_written_change_no_exit_status():
    with FULL.open("w") as full:
        assert run("--help", stdout=full) == (0, "")
        assert run("ledger", "create", "nowhere:db", stdout=full, stderr=full)[0] == 2


@needs_full
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("target", ["full", "unread"])
def test_a_node_serves_although_it_cannot_say_so(cluster, database, tmp_path, workers, target):
    (tmp_path / "app.py").write_text(APP.format(database=database, **cluster.primary.params(database)))
    python, address = tmp_path / "python", f"127.0.0.1:{free_ports(1)[0]}"
    redirection = ">/dev/full" if target == "full" else ""
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@" {redirection}\n')
    python.chmod(0o755)
    options = (f"--workers={workers}", f"--listen={address}", "--http=127.0.0.1:0")
    with node_process("app:db", *options, folder=tmp_path, python=python) as node:
        node.process.stdout.close()
        until(lambda: answers(address) or node.process.poll() is not None)
        assert answers(address), node.process.stderr.read()
        node.process.terminate()
        errors = node.process.stderr.read()
        assert node.process.wait(AMPLE) == 0
        node.process.stdout = None
    assert "Traceback" not in errors
    assert "Error" not in errors


def answers(address):
    try:
        channel_to(address).close()
    except NotDelivered:
        return False
    return True
