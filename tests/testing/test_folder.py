"""The folder of a cluster disappears, with the servers in it, however the process ends that made it."""

import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import is_running
from tests.support.waiting import until

START = """
import sys
import tempfile
from pathlib import Path
from fly_orm.testing import Cluster, folder
folder._parent = lambda account: sys.argv[1]
if sys.argv[2] == "starting":
    print("starting", flush=True)
cluster = Cluster.start(replication_rtt=0)
print("started", cluster.primary.pid, cluster.replica.pid, flush=True)
sys.stdin.read()
"""


def started_in(parent: Path, say: str) -> subprocess.Popen[str]:
    parent.chmod(0o711)
    command = [sys.executable, "-c", START, str(parent), say]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def empty_folder() -> Iterator[Path]:
    """A folder for clusters alone; pytest's own are too long for sockets, and closed to other users."""

    with tempfile.TemporaryDirectory(dir="/tmp", prefix="fly-test-") as name:
        yield Path(name)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_when_the_process_is_killed(empty_folder: Path, number: signal.Signals) -> None:
    with started_in(empty_folder, "later") as process:
        assert process.stdout is not None
        pids = [int(word) for word in process.stdout.readline().split()[1:]]
        assert len(pids) == 2
        process.send_signal(number)
    until(lambda: not any(empty_folder.iterdir()), "the folder is gone")
    until(lambda: not any(is_running(pid) for pid in pids), "the servers are gone")


KILLED = """
import os, signal, subprocess, sys
from fly_orm.testing import folder
folder._parent = lambda account: sys.argv[1]
start = subprocess.Popen.__init__
def started(self, *arguments, **keywords):
    if sys.argv[2] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    start(self, *arguments, **keywords)
    print(self.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
subprocess.Popen.__init__ = started
folder.Folder(None)
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_nothing_is_left_when_the_process_is_killed_as_it_starts_the_companion(empty_folder: Path, moment: str) -> None:
    command = [sys.executable, "-c", KILLED, str(empty_folder), moment]
    killed = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    assert killed.returncode == -signal.SIGKILL
    companions = [int(word) for word in killed.stdout.split()]
    assert len(companions) == (moment == "after")
    until(lambda: not any(is_running(pid) for pid in companions), "the companion has ended")
    assert list(empty_folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("moment", [0.0, 0.1, 0.3, 0.5])
def test_nothing_is_left_when_the_process_is_killed_while_starting(empty_folder: Path, moment: float) -> None:
    with started_in(empty_folder, "starting") as process:
        assert process.stdout is not None
        process.stdout.readline()
        until(lambda: any(empty_folder.iterdir()), "it has begun")
        threading.Event().wait(moment)  # to hit different steps; any of them will do
        process.kill()
    until(lambda: not any(empty_folder.iterdir()), "the folder is gone")
