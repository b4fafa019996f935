"""Faults of the networks between regions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fly_orm.testing import Wan

from .faults import Hand, Kind
from .world import HOMES, REGIONS

#: How long a network fails at most (seconds): longer than a request may take.
LONGEST = 4.0
#: How long one stalls whose requests arrive after their outcomes were settled.
UNTIL_SETTLED = 6.0, 9.0


@contextmanager
def _a_link(hand: Hand, what: str) -> Iterator[Wan]:
    """A network, which works again after the block."""
    region = hand.dice.choice([*HOMES, *REGIONS])  # mostly where clients are, and mostly on the way to the primary
    links, primary = hand.world.links[region], hand.world.primary_region
    likely = [*links.to_nodes[primary], links.to_nats] * 2 + links.all
    wan = hand.dice.choice([wan for wan in likely if wan not in hand.world.failing] or likely)
    hand.world.failing.add(wan)
    hand.note(what, f"from {region} to {links.end_of(wan)}")
    try:
        yield wan
    finally:
        wan.heal()
        hand.world.failing.discard(wan)


def cut(hand: Hand) -> None:
    with _a_link(hand, "network cut") as wan:
        wan.cut()
        hand.wait(LONGEST / 2)


def stall(hand: Hand) -> None:
    with _a_link(hand, "network stalled") as wan:
        wan.stall()
        hand.wait(LONGEST)


def stall_for_long(hand: Hand) -> None:
    with _a_link(hand, "network stalled for long") as wan:
        wan.stall()
        least, most = UNTIL_SETTLED
        hand.wait(most, least)


def deaf(hand: Hand) -> None:
    with _a_link(hand, "network deaf") as wan:
        wan.deaf()
        hand.wait(LONGEST)


def slow(hand: Hand) -> None:
    with _a_link(hand, "network slow") as wan:
        before, wan.rtt = wan.rtt, hand.dice.uniform(0.05, 0.6)
        hand.wait(LONGEST / 2)
        wan.rtt = before


def _one_request(what: str, order: Callable[[Wan], threading.Event]) -> Kind:
    """The fault that hits the next request over a network."""

    def make(hand: Hand) -> None:
        with _a_link(hand, what) as wan:
            order(wan).wait(1.0)

    return Kind(what, make)


KINDS = [
    Kind("network cut", cut),
    Kind("network stalled", stall),
    Kind("network stalled for long", stall_for_long),
    Kind("network deaf", deaf),
    Kind("network slow", slow),
    _one_request("request cut", Wan.cut_before_request),
    _one_request("cut after request", Wan.cut_after_request),
    _one_request("reply cut", Wan.cut_before_reply),
]
