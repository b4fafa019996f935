"""What tests of transports share: responders that remember, a node that serves, and patience with a limit."""

from __future__ import annotations

import os
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from fly_orm.deadline import Deadline

SOON = 5.0


def soon(timeout=SOON):
    return Deadline.after(timeout)


def until(condition, timeout=SOON, complaint=lambda: "it did not happen in time"):
    """Fails unless the condition becomes true in time."""
    deadline = Deadline.after(timeout)
    while not condition():
        assert not deadline.expired, complaint()
        time.sleep(0.005)


def our_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("fly-orm")]


class Recorder:
    """A responder that answers by a function and remembers what happened to it."""

    def __init__(self, peer="", answer=bytes, trusted=True):
        self.peer = peer
        self.answer = answer
        self.trusted = trusted
        self.requests = []
        self.replied = 0
        self.gone_calls = 0

    def respond(self, request):
        self.requests.append(request)
        reply = self.answer(request)
        self.replied += 1
        return reply

    def gone(self):
        self.gone_calls += 1


class Held:
    """An answer that is held back until it is released."""

    def __init__(self):
        self.started = threading.Event()
        self.released = threading.Event()

    def __call__(self, request):
        self.started.set()
        assert self.released.wait(20)
        return b"late " + request


class Node:
    """A transport, the servers and channels opened through it, and the responders of the channels."""

    def __init__(self, transport, listen):
        self.transport = transport
        self.listen = listen
        self.responders = []
        self.opened = []

    def serve(self, answer=bytes, trusted=True, listen=None):
        def accept(peer):
            self.responders.append(Recorder(peer, answer, trusted))
            return self.responders[-1]

        self.server = self.transport.serve(listen or self.listen, accept)
        self.opened.append(lambda: self.server.close(0))
        return self

    def connect(self, address=None):
        channel = self.transport.connect(address or self.server.address, soon())
        self.opened.append(channel.close)
        return channel

    @property
    def responder(self):
        """That of the only channel."""
        assert len(self.responders) == 1
        return self.responders[0]

    def close(self):
        for close in reversed(self.opened):
            close()


@contextmanager
def node_of(transport, listen):
    node = Node(transport, listen)
    try:
        yield node
    finally:
        node.close()
        until(lambda: not our_threads(), complaint=our_threads)


def in_thread(function, *args):
    """A future of the function's result."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(function, *args)
    pool.shutdown(wait=False)
    return future


def in_child(function):
    """Runs the function in a forked process; fails if it fails there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forking with threads
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            function()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
