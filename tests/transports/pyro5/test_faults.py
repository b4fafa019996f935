"""After a fault in one of its threads, such as a lack of memory, a server goes on."""

from __future__ import annotations

import threading

import pytest

from fly_orm.testing.contract.tools import Held, ask
from fly_orm_transports.pyro5 import lobby, server, wire
from fly_orm_transports.pyro5.connection_table import ConnectionTable
from fly_orm_transports.pyro5.lobby import Lobby
from tests.support.pyro5_messages import HELLO, greeted
from tests.support.waiting import PATIENCE, until


class FailsOnce:
    """Raises an exception in place of a method's call, once this has been armed."""

    def __init__(self, monkeypatch, owner, name):
        method = getattr(owner, name)
        self.is_armed = False
        self.has_failed = threading.Event()

        def call(*arguments, **options):
            if self.is_armed:
                self.is_armed = False
                self.has_failed.set()
                raise MemoryError
            return method(*arguments, **options)

        monkeypatch.setattr(owner, name, call)


@pytest.mark.parametrize(
    "method", ["_take_turns", "_look_at_the_clock", "_accept_some", "_watch", "_note_progress", "_dismiss"]
)
def test_the_lobby_goes_on_after_a_fault(node, raw, monkeypatch, caplog, method):
    monkeypatch.setattr(lobby, "_FAULT_PAUSE", 0.01)
    fault = FailsOnce(monkeypatch, Lobby, method)
    node.serve()
    fault.is_armed = True
    raw(b"GET / HTTP/1.1\r\n\r\n" if method == "_dismiss" else b"").close()
    if method == "_note_progress":
        raw(b"P")
    assert fault.has_failed.wait(PATIENCE)
    assert ask(node.connect(), b"hello") == b"hello"
    assert "MemoryError" in caplog.text


def test_a_lobby_that_listened_to_nobody_listens_again_after_a_fault(node, monkeypatch):
    monkeypatch.setattr(lobby, "_FAULT_PAUSE", 0.01)
    node.serve()
    fault = FailsOnce(monkeypatch, Lobby, "_listen")
    fault.is_armed = True
    node.server._lobby._turns = Holding()
    assert ask(node.connect(), b"hello") == b"hello"
    assert fault.has_failed.is_set()


class Holding:
    """Turns that leave the first connection to others for a while."""

    def __init__(self):
        self._has_passed = False

    def passes(self, *, waited):
        passed, self._has_passed = self._has_passed, True
        return not passed


def test_a_server_whose_lobby_pauses_after_a_fault_closes_at_once(node, raw, monkeypatch, caplog):
    monkeypatch.setattr(lobby, "_FAULT_PAUSE", 10 * PATIENCE)
    fault = FailsOnce(monkeypatch, Lobby, "_look_at_the_clock")
    node.serve()
    fault.is_armed = True
    raw()
    until(lambda: "the lobby failed" in caplog.text)
    closing = threading.Thread(target=node.server.close, args=(0,))
    closing.start()
    closing.join(PATIENCE)
    assert not closing.is_alive()


def test_peers_that_hang_up_are_noticed_after_a_fault(node, raw, monkeypatch, caplog):
    monkeypatch.setattr(server, "_FAULT_PAUSE", 0.01)
    fault, held = FailsOnce(monkeypatch, ConnectionTable, "snapshot"), Held()
    node.serve(held)
    sock = greeted(raw(HELLO, wire.frame(wire.INVOKE, 1, b"one")))
    assert held.started.wait(PATIENCE)
    fault.is_armed = True
    assert fault.has_failed.wait(PATIENCE)
    sock.close()
    node.gone(PATIENCE)
    held.released.set()
    assert f"cannot look at the connections of {node.server.address}" in caplog.text
