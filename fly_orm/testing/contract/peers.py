"""The death of a process is noticed by its peer, and no other process at the same address takes its place."""

from __future__ import annotations

import time

import pytest

from fly_orm.errors import OutcomeUnknown

from ..peer import HOLD
from .processes import Processes
from .setting import Setting
from .tools import HELD_TIMEOUT, SOON, Held, Node, ask, in_thread, result, soon, until


class Peers(Setting):
    """What holds between two processes."""

    def test_a_server_of_another_process_answers(self, node: Node, processes: Processes) -> None:
        server = processes.serve()
        channel = node.connect(server.line)
        assert [ask(channel, b"who?") for _ in range(3)] == [b"%d" % server.pid] * 3

    def test_the_death_of_an_idle_client_is_noticed(self, node: Node, processes: Processes) -> None:
        node.serve()
        client = processes.connect(node.server.address, "hello")
        until(lambda: node.responder.replied)
        assert node.responder.gone_calls == 0
        client.kill()
        node.gone(self.notice_timeout)

    def test_the_death_of_a_client_is_noticed_while_its_request_is_answered(
        self, node: Node, processes: Processes
    ) -> None:
        held = Held()
        node.serve(held)
        client = processes.connect(node.server.address, "hello")
        assert held.started.wait(SOON)
        assert node.responder.gone_calls == 0
        client.kill()
        node.gone(self.notice_timeout)
        assert node.responder.replied == 0, "gone() should be called while respond() runs"

    def test_the_death_of_a_server_that_is_answering_leaves_the_outcome_unknown(
        self, node: Node, processes: Processes
    ) -> None:
        server = processes.serve()
        channel = node.connect(server.line)
        pending = in_thread(channel.exchange, HOLD, soon(2 * HELD_TIMEOUT))
        assert server.says() == "holding"
        server.kill()
        began = time.monotonic()
        with pytest.raises(OutcomeUnknown):
            result(pending, self.notice_timeout)
        assert time.monotonic() - began < self.notice_timeout

    def test_a_server_that_has_died_is_not_replied_for(self, node: Node, processes: Processes) -> None:
        server = processes.serve()
        channel = node.connect(server.line)
        ask(channel, b"who?")
        server.kill()
        with pytest.raises(self.undelivered):
            ask(channel, b"write", self.notice_timeout)

    def test_a_channel_does_not_reach_the_process_that_came_after_its_own(
        self, node: Node, processes: Processes
    ) -> None:
        server = processes.serve()
        channel = node.connect(server.line)
        ask(channel, b"who?")
        server.kill()
        node.serve(listen=server.line)
        with pytest.raises(self.undelivered):
            ask(channel, b"write", self.notice_timeout)
        node.server.close(SOON)
        assert node.requests == []

    def test_each_channel_stays_with_one_of_the_processes_at_an_address(self, node: Node, processes: Processes) -> None:
        if not self.shares_addresses:
            pytest.skip("an address has one server")
        servers = [processes.serve()]
        servers.append(processes.serve(servers[0].line))
        channels = [node.connect(servers[0].line) for _ in range(20)]
        answers = [[ask(channel, b"who?") for channel in channels] for _ in range(5)]
        assert all(each == answers[0] for each in answers), "a channel moved from one process to another"
        assert set(answers[0]) == {b"%d" % server.pid for server in servers}
