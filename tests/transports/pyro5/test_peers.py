"""Peers that die are noticed on both sides."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import psutil
import pytest

from fly_orm.errors import NotDelivered
from fly_orm.testing.contract.tools import in_child, soon, until


class Process:
    """Another Python process, which has printed a line."""

    def __init__(self, code, *arguments):
        prelude = """
            import os, sys, threading, time
            from fly_orm.deadline import Deadline
            from fly_orm_transports.pyro5 import Pyro5Transport
        """
        source = textwrap.dedent(prelude) + textwrap.dedent(code)
        self.process = subprocess.Popen([sys.executable, "-c", source, *arguments], stdout=subprocess.PIPE, text=True)
        self.line = self.process.stdout.readline().strip()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self.process.communicate(timeout=10)


CLIENT = """
channel = Pyro5Transport().connect(sys.argv[1], Deadline.after(5))
print("connected", flush=True)
channel.exchange(sys.argv[2].encode(), Deadline.after(60))
time.sleep(60)
"""
SERVER = """
class Responder:
    trusted = True
    def respond(self, request):
        print("answering", flush=True)
        if request == b"hold":
            time.sleep(60)
        return request
    def last_reply(self, *, is_full=False):
        return None
    def gone(self):
        pass
server = Pyro5Transport().serve("127.0.0.1:0", lambda peer: Responder())
print(server.address, flush=True)
time.sleep(60)
"""


def test_a_forked_child_is_told_that_the_channel_is_the_parents(node):
    channel = node.serve().connect()

    def child():
        with pytest.raises(NotDelivered, match="forked from"):
            channel.exchange(b"child", soon())

    in_child(child)


def test_the_death_of_a_client_is_noticed_though_a_child_of_it_lives(node):
    node.serve()
    fork = """
    channel = Pyro5Transport().connect(sys.argv[1], Deadline.after(5))
    child = os.fork()
    if child == 0:
        time.sleep(60)
    print(child, flush=True)
    time.sleep(60)
    """
    with Process(fork, node.server.address) as client:
        try:
            client.kill()
            until(lambda: node.responder.gone_calls == 1, 2)
            assert psutil.Process(int(client.line)).status() != psutil.STATUS_ZOMBIE
        finally:
            os.kill(int(client.line), signal.SIGKILL)


def test_nobody_listens_any_more_when_the_server_has_died_though_a_child_of_it_lives(node):
    fork = """
    server = Pyro5Transport().serve("127.0.0.1:0", lambda peer: None)
    closed, closing = os.pipe()
    child = os.fork()
    if child == 0:  # which has closed what it has inherited
        os.write(closing, b"1")
        time.sleep(60)
    os.read(closed, 1)
    print(server.address, child, flush=True)
    time.sleep(60)
    """
    with Process(fork) as server:
        address, child = server.line.split()
        try:
            server.kill()
            server.process.wait(10)
            with pytest.raises(NotDelivered, match=r"refused|reset"):
                node.connect(address)
        finally:
            os.kill(int(child), signal.SIGKILL)


def test_the_death_of_an_idle_server_means_not_delivered(node):
    with Process(SERVER) as server:
        channel = node.connect(server.line)
        assert channel.exchange(b"hello", soon()) == b"hello"
        server.kill()
        server.process.wait(10)
        with pytest.raises(NotDelivered):
            channel.exchange(b"write", soon())
