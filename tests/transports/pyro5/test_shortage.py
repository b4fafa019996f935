"""A node without a file descriptor left turns peers away, says so once, and goes on when it can."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from fly_orm.errors import ConfigurationError, NotDelivered, OutcomeUnknown
from fly_orm.testing.contract.tools import SOON, soon
from fly_orm.testing.peer import Responder
from fly_orm_transports.pyro5 import Pyro5Transport
from tests.support.ports import free_ports
from tests.support.pyro5_messages import ended
from tests.support.waiting import until

#: Takes all descriptors, or gives them back, whenever it reads a line.
NODE = """
import logging, os, sys
from fly_orm.testing.peer import Responder
from fly_orm_transports.pyro5 import Pyro5Transport

import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
print(Pyro5Transport().serve("127.0.0.1:0", lambda peer: Responder()).address, flush=True)
taken = []
for line in sys.stdin:
    if taken:
        while taken:
            os.close(taken.pop())
    else:
        try:
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
    print("done", flush=True)
os._exit(0)
"""

#: Begins to serve with 0, 1, … descriptors left, until it can, and prints why it could not before.
SERVER = """
import os
from fly_orm import ConfigurationError
from fly_orm.testing.peer import Responder
from fly_orm_transports.pyro5 import Pyro5Transport

import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
transport = Pyro5Transport()
transport.serve("127.0.0.1:0", lambda peer: Responder()).close(0)
taken = []
try:
    while True:
        taken.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
for spare in range(len(taken)):
    try:
        server = transport.serve("127.0.0.1:0", lambda peer: Responder())
        break
    except ConfigurationError as error:
        assert error.__cause__.errno == 24, error
    free = [os.dup(taken[0]) for _ in range(spare)]
    try:
        os.dup(taken[0])
    except OSError:
        print("Too many open files")
    for each in [taken.pop(), *free]:
        os.close(each)
server.close(0)
"""


class Node:
    def __init__(self, process):
        self.process = process
        self.address = self.hear()

    def hear(self):
        return self.process.stdout.readline().strip()

    def turn(self):
        """Take all descriptors, or give them back."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self.hear() == "done"

    def connect(self):
        host, _, port = self.address.rpartition(":")
        return socket.create_connection((host, int(port)), 4 * SOON)

    def answers(self):
        """Whether it answers, or turns the caller away."""
        try:
            with closing(Pyro5Transport().connect(self.address, soon())) as channel:
                return channel.exchange(b"who?", soon(4 * SOON)) == b"%d" % self.process.pid
        except (NotDelivered, OutcomeUnknown):
            return False

    @property
    def descriptors(self):
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def log(self):
        """What it has logged, once it has ended."""
        return self.process.communicate(timeout=4 * SOON)[1].splitlines()


@contextmanager
def running():
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", NODE], stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield Node(process)
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="limits of descriptors differ elsewhere")
class TestAShortage:
    def test_is_logged_once_and_ends_by_itself(self):
        with running() as node:
            before = node.descriptors
            assert node.answers()
            until(lambda: node.descriptors <= before, "it has not closed the connection")
            node.turn()
            for _ in range(5):
                with node.connect() as sock:
                    assert ended(sock), "it should be told at once, to go to another node"
            node.turn()
            until(node.answers)  # it may be about to turn one more away
            (line,) = node.log()
            assert line.startswith("WARNING cannot accept all connections")
            assert "Too many open files" in line

    def test_costs_a_stranger_its_place(self):
        with running() as node, node.connect() as stranger:
            assert node.answers()
            node.turn()
            assert node.answers()
            assert ended(stranger)

    def test_while_a_server_starts_is_its_error_and_costs_nothing(self):
        """Whichever of its descriptors is the one that is missing."""
        said = subprocess.run([sys.executable, "-W", "error", "-c", SERVER], capture_output=True, text=True, check=True)
        assert said.stdout.splitlines() == ["Too many open files"] * 4
        assert said.stderr == ""


@pytest.mark.parametrize("thread", ["lobby", "watch"])
def test_a_server_without_threads_leaves_its_address_free(monkeypatch, thread):
    start = threading.Thread.start

    def not_started(self):
        if self.name.startswith(f"fly-orm-pyro5 {thread}"):
            raise RuntimeError("can't start new thread")
        start(self)

    address = f"127.0.0.1:{free_ports(1)[0]}"
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", not_started)
        with pytest.raises(ConfigurationError, match=r"cannot serve at .* now: can't start new thread"):
            Pyro5Transport().serve(address, lambda peer: Responder())
    Pyro5Transport().serve(address, lambda peer: Responder()).close(0)
