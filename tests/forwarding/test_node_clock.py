"""What a caller may say of a node's clock: never more than that clock shows."""

from __future__ import annotations

import math
import random

import pytest

from fly_orm.forwarding.node_clock import DRIFT, MAX_AGE, NodeClock


@pytest.fixture
def clock():
    return NodeClock()


def test_is_not_known_before_a_reply_or_from_a_node_that_does_not_say(clock):
    assert clock.earliest(1.0) is None
    clock.note(None, asked=0.0, answered=1.0)
    assert clock.earliest(1.0) is None
    assert not clock.is_old(1e9)


def test_is_not_told_for_an_instant_that_never_comes(clock):
    clock.note(500.0, asked=0.0, answered=1.0)
    assert clock.earliest(math.inf) is None


def test_is_taken_to_have_been_read_when_the_reply_arrived(clock):
    clock.note(500.0, asked=10.0, answered=10.2)
    assert clock.earliest(10.2) == 500.0
    assert clock.earliest(14.2) == pytest.approx(504.0 - 4 * DRIFT)


def test_keeps_what_a_quick_reply_has_told_when_a_slow_one_tells_less(clock):
    clock.note(500.0, asked=10.0, answered=10.1)
    clock.note(500.5, asked=10.2, answered=12.1)
    assert clock.earliest(12.1) == pytest.approx(502.0 - 2 * DRIFT)


@pytest.mark.parametrize("jump", [-60.0, 60.0])
def test_believes_a_new_reading_that_contradicts_the_old_one(clock, jump):
    """A machine was suspended: the node's, whose clock has stood still, or the caller's."""
    clock.note(500.0, asked=10.0, answered=10.1)
    clock.note(501.0 + jump, asked=11.0, answered=11.1)
    assert clock.earliest(11.1) == pytest.approx(501.0 + jump)


def test_grows_old_and_is_new_again_with_a_reply(clock):
    clock.note(500.0, asked=10.0, answered=10.1)
    assert not clock.is_old(10.1 + MAX_AGE)
    assert clock.is_old(10.2 + MAX_AGE)
    clock.note(900.0, asked=410.0, answered=410.1)
    assert not clock.is_old(410.2)


def test_knows_the_round_trip_from_the_shortest_exchange(clock):
    clock.note(None, asked=0.0, answered=0.1)
    clock.note(500.0, asked=0.1, answered=2.1)
    assert clock.round_trip == pytest.approx(0.1 + 2 * DRIFT)
    clock.note(502.0, asked=3.0, answered=3.08)
    assert clock.round_trip == pytest.approx(0.08)


def test_believes_in_the_end_that_the_network_has_become_slower(clock):
    clock.note(None, asked=0.0, answered=0.1)
    for at in range(1000):
        clock.note(None, asked=at, answered=at + 0.3)
    assert clock.round_trip == pytest.approx(0.3)


def test_is_vague_while_all_replies_with_it_were_held_up(clock):
    clock.note(None, asked=0.0, answered=0.1)
    assert not clock.is_vague
    clock.note(500.0, asked=0.1, answered=2.1)
    assert clock.is_vague
    clock.note(502.2, asked=2.1, answered=2.2)
    assert not clock.is_vague


@pytest.mark.parametrize("seed", range(20))
def test_is_never_said_to_show_more_than_it_does(clock, seed):
    chance = random.Random(seed)
    ahead, rate, at = chance.uniform(-1e6, 1e6), 1 + chance.uniform(-DRIFT, DRIFT), chance.uniform(0, 1e6)
    for _ in range(200):
        there, back = chance.expovariate(10), chance.expovariate(10)
        read = at + there
        clock.note(ahead + rate * read, asked=at, answered=read + back)
        at = read + back + chance.choice([0.0, 0.01, 30.0])
        for later in (at, at + 5, at + 500):
            assert clock.earliest(later) <= ahead + rate * later + 1e-6
        assert ahead + rate * at - clock.earliest(at) < there + back + 40 * DRIFT + 1
