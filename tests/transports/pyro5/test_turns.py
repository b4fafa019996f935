"""A crowd of strangers does not keep the lobby from those who come from elsewhere."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack

from fly_orm.testing.contract.tools import SOON, Recorder, until
from fly_orm_transports.pyro5 import Pyro5Transport, lobby
from tests.support.pyro5_messages import HELLO, port_of
from tests.support.threads import ending_threads


def test_one_of_another_network_has_its_turn_before_a_crowd(monkeypatch):
    """Even if each turn has time for one stranger only, and the crowd was there first."""
    monkeypatch.setattr(lobby, "_TURN", 0.0)
    served, began, go_on = [], threading.Event(), threading.Event()

    def accept(peer):
        served.append(peer.rpartition(":")[0])
        if len(served) == 1:
            began.set()
            go_on.wait(SOON)
        return Recorder(peer, bytes, False)

    with ending_threads(), ExitStack() as undo:
        server = Pyro5Transport().serve("127.0.0.1:0", accept)
        undo.callback(server.close, 0)

        def greet_from(address):
            sock = socket.create_connection(("127.0.0.1", port_of(server)), SOON, source_address=(address, 0))
            undo.callback(sock.close)
            sock.sendall(HELLO)

        greet_from("127.0.0.3")
        assert began.wait(SOON)
        for _ in range(20):
            greet_from("127.0.0.2")
        greet_from("127.0.0.1")
        go_on.set()
        until(lambda: len(served) == 22)
    assert served[:2] == ["127.0.0.3", "127.0.0.1"]
    assert served.count("127.0.0.2") == 20
