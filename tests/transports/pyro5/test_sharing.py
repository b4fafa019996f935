"""Servers at the same sockets take turns in accepting, as they are told, and close what they have too much of."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack

import pytest

from fly_orm.testing.contract.tools import SOON, Recorder, until
from fly_orm_transports.pyro5 import Pyro5Transport
from tests.support.pyro5_messages import HELLO, port_of


class Told:
    """Turns that do what a test says, and note what they are asked."""

    def __init__(self, *, leaves, patient=True):
        self.leaves, self.patient = leaves, patient
        self.asked = []

    def passes(self, *, waited):
        self.asked.append(waited)
        return self.leaves and (not waited or not self.patient)

    def exceeds(self, channels):
        return False


@pytest.fixture
def servers():
    """Starts servers at one address, which accept for the names that they are given."""
    transport = Pyro5Transport()
    sockets = transport.bind("127.0.0.1:0")
    with ExitStack() as undo:

        def start(turns, served, name):
            def accept(peer):
                served.append(name)
                return Recorder(peer, bytes, True)

            own = [socket.socket(fileno=os.dup(each.fileno())) for each in sockets]
            server = transport.serve_bound("127.0.0.1:0", own, accept, turns)
            undo.callback(server.close, 0)
            return server

        yield start
    for each in sockets:
        each.close()


def greet(server, count):
    with ExitStack() as undo:
        for _ in range(count):
            sock = undo.enter_context(socket.create_connection(("127.0.0.1", port_of(server)), SOON))
            sock.sendall(HELLO)
            sock.recv(100)


def test_one_that_leaves_connections_accepts_none_as_long_as_others_do(servers):
    served, leaving = [], Told(leaves=True, patient=False)
    servers(leaving, served, "leaves")
    greet(servers(Told(leaves=False), served, "accepts"), 20)
    assert served == ["accepts"] * 20


def test_one_accepts_after_a_pause_what_nobody_else_has_taken(servers):
    served, turns = [], Told(leaves=True)
    greet(servers(turns, served, "only"), 3)
    assert served == ["only"] * 3
    assert turns.asked == [False, True] * 3


def test_connections_are_accepted_one_at_a_time_however_many_wait(servers):
    served, turns = [], Told(leaves=False)
    greet(servers(turns, served, "only"), 10)
    until(lambda: len(served) == 10)
    assert len(turns.asked) >= 10
    assert not any(turns.asked)
