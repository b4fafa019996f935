"""A node without a file descriptor left turns peers away, says so once, and goes on when it can."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from fly_orm.errors import NotDelivered, OutcomeUnknown
from fly_orm.testing.contract.tools import SOON, soon
from fly_orm_transports.pyro5 import Pyro5Transport
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
