"""Requests wait for nodes that have accepted requests, for a while, and for nobody else."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack

import pytest

from fly_orm import AuthenticationFailed, NoChannel, NotDelivered, NotPrimary, OutcomeUnknown, Refused
from fly_orm.deadline import Deadline, now
from fly_orm.discovery.static import StaticDiscovery
from fly_orm.forwarding import interruption
from fly_orm.forwarding.fence import Fence
from fly_orm.forwarding.forwarder import Forwarder
from fly_orm.settings import Settings
from fly_orm.testing.contract.tools import in_thread, result, soon
from fly_orm.topology import parse_nodes
from tests.forwarding.nodes import Refusing
from tests.support.two_regions import settings
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("threads")

GONE = NotDelivered("gone")
DRAINING = Refused("shutting down", reason="draining")


class World:
    """A node that accepts requests, or raises an error instead, as a test says."""

    def __init__(self, forwarder):
        self.forwarder = forwarder
        self.error = None
        self.attempts = 0

    def request(self, region=None, timeout=5.0):
        """The outcome of a request for the primary, or for a region."""
        if region is None:
            return self.forwarder.try_primary("shop", Deadline.after(timeout), self._attempt)
        return self.forwarder.try_nodes(region, Deadline.after(timeout), self._attempt)

    def _attempt(self, channels):
        error = self.error
        self.attempts += 1
        if error is not None:
            raise error
        return "accepted"

    def begins(self, *arguments):
        """A request that waits by now, on a thread of its own."""
        before = self.attempts
        waiting = in_thread(self.request, *arguments)
        until(lambda: self.attempts > before)
        return waiting


@pytest.fixture
def world(monkeypatch):
    discovery = StaticDiscovery(Settings(nodes=parse_nodes("FLY_ORM_NODES", "syd=s1")))
    monkeypatch.setattr("fly_orm.forwarding.directory.make_discovery", lambda name, settings: discovery)
    with ExitStack() as undo:
        forwarder = Forwarder(settings("ams"), Refusing(), Fence())
        undo.callback(forwarder.close)
        yield World(forwarder)


@pytest.mark.parametrize("region", [None, "syd"])
@pytest.mark.parametrize("error", [GONE, DRAINING, NotPrimary("a replica"), Refused("no server", reason="unavailable")])
def test_a_request_waits_while_what_accepted_requests_is_away(world, error, region):
    world.request(region)
    world.error = error
    waiting = world.begins(region)
    assert not waiting.done()
    world.error = None
    assert result(waiting) == "accepted"


@pytest.mark.parametrize(
    "error", [AuthenticationFailed("no"), NoChannel("busy"), Refused("no", reason="unknown database"), OutcomeUnknown()]
)
def test_what_a_restart_does_not_explain_is_an_error_at_once(world, error):
    world.request()
    world.error = error
    attempts = world.attempts
    with pytest.raises(type(error)):
        world.request()
    assert world.attempts == attempts + 1


@pytest.mark.parametrize("region", [None, "syd"])
def test_nobody_waits_for_nodes_that_have_never_accepted_anything(world, region):
    world.error = GONE
    with pytest.raises(NotDelivered):
        world.request(region)
    assert world.attempts == 1


def test_requests_stop_waiting_when_an_outage_lasts(world, monkeypatch):
    world.request()
    monkeypatch.setattr(interruption, "PATIENCE", 0.5)
    world.error = GONE
    started = now()
    with pytest.raises(NotDelivered, match="no node of the primary region 'syd' executed the statement: gone"):
        world.request(None, 60.0)
    ended = now()
    assert 0.2 < ended - started < 30
    until(lambda: now() - ended > 0.5)
    attempts = world.attempts
    with pytest.raises(NotDelivered):
        world.request()
    assert world.attempts == attempts + 1
    world.error = None
    world.request()
    monkeypatch.setattr(interruption, "PATIENCE", 10.0)
    world.error = GONE
    waiting = world.begins()
    world.error = None
    assert result(waiting) == "accepted"


def test_no_attempt_comes_so_late_that_its_outcome_could_be_unknown(world, monkeypatch):
    monkeypatch.setattr(interruption, "FIRST_PAUSE", 0.9)
    monkeypatch.setattr("random.uniform", lambda _least, most: most)
    world.request()
    world.error = GONE
    with pytest.raises(NotDelivered):
        world.request(None, 1.0)  # a quarter of which is for the reply
    assert world.attempts == 2


def test_attempts_become_rare(world, monkeypatch):
    monkeypatch.setattr(interruption, "LONGEST_PAUSE", 10.0)
    world.request()
    world.error = DRAINING
    with pytest.raises(Refused):
        world.request(None, 2.0)
    assert world.attempts < 10


def test_the_first_success_ends_the_pauses_of_all(world, monkeypatch):
    world.request()
    world.error = GONE
    with monkeypatch.context() as patch:
        patch.setattr(interruption, "FIRST_PAUSE", 100.0)
        patch.setattr(interruption, "PATIENCE", 1000.0)
        waiting = [world.begins(None, 1000.0) for _ in range(3)]
        world.error = None
        world.request()
        assert [result(each, 20) for each in waiting] == ["accepted"] * 3


def test_the_success_of_others_says_nothing_about_a_request_of_its_own_kind(world, monkeypatch):
    """A session whose token tells of a failover is declined where others are not. It must not ask all the time."""
    monkeypatch.setattr(interruption, "LONGEST_PAUSE", 0.2)
    world.request()
    over, mine = threading.Event(), []

    def declined(channels):
        mine.append(now())
        raise NotPrimary("superseded, for this session")

    def others():
        while not over.wait(0.001):
            world.request()

    going_on = in_thread(others)
    with pytest.raises(NotPrimary):
        world.forwarder.try_nodes("syd", Deadline.after(1.5), declined)
    over.set()
    result(going_on)
    assert len(mine) < 25


def test_the_log_frames_an_interruption_and_leaves_out_the_next_ones(world, caplog):
    caplog.set_level(logging.INFO, "fly_orm")
    for _ in range(2):
        world.request()
        world.error = DRAINING
        waiting = world.begins()
        world.error = None
        result(waiting)
    framed = [(record.levelname, record.message) for record in caplog.records if "equests for" in record.message]
    assert [level for level, _ in framed] == ["WARNING", "INFO"]
    assert "no node accepts requests for the primary of 'shop'; for 10 s, requests wait" in framed[0][1]
    assert "shutting down" in framed[0][1]
    assert "requests for the primary of 'shop' are accepted again, after" in framed[1][1]


def test_a_caller_that_is_interrupted_waits_no_longer(world, monkeypatch):
    world.request()
    world.error = GONE
    monkeypatch.setattr(interruption.Attempts, "wait", lambda self, why: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        world.forwarder.try_primary("shop", soon(), world._attempt)
