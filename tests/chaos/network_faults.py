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


def _any_link(hand: Hand) -> tuple[str, Wan]:
    """A region and a network of it: mostly where clients are, and mostly on the way to the primary."""
    region = hand.dice.choice([*HOMES, *REGIONS])
    links, primary = hand.world.links[region], hand.world.primary_region
    return region, _working(hand, [*links.to_nodes[primary], links.to_nats] * 2 + links.all)


def _link_for_writes(hand: Hand) -> tuple[str, Wan]:
    """A region with clients and a network that carries their writes."""
    primary = hand.world.primary_region
    region = hand.dice.choice([home for home in HOMES if home != primary])
    links = hand.world.links[region]
    return region, _working(hand, [*links.to_nodes[primary] * 2, links.to_nats])


def _working(hand: Hand, wans: list[Wan]) -> Wan:
    return hand.dice.choice([wan for wan in wans if wan not in hand.world.failing] or wans)


@contextmanager
def _failing(hand: Hand, what: str, choose: Callable[[Hand], tuple[str, Wan]] = _any_link) -> Iterator[Wan]:
    """A network, which works again after the block."""
    region, wan = choose(hand)
    hand.world.failing.add(wan)
    hand.note(what, f"from {region} to {hand.world.links[region].end_of(wan)}")
    try:
        yield wan
    finally:
        wan.heal()
        hand.world.failing.discard(wan)


def cut(hand: Hand) -> None:
    with _failing(hand, "network cut") as wan:
        wan.cut()
        hand.wait(LONGEST / 2)


def stall(hand: Hand) -> None:
    with _failing(hand, "network stalled") as wan:
        wan.stall()
        hand.wait(LONGEST)


def stall_for_long(hand: Hand) -> None:
    """Stall a network until whoever gave up waiting for a reply may rely on a look."""
    with _failing(hand, "network stalled for long", _link_for_writes) as wan:
        wan.stall()
        least, most = UNTIL_SETTLED
        hand.wait(most, least)


def deaf(hand: Hand) -> None:
    with _failing(hand, "network deaf") as wan:
        wan.deaf()
        hand.wait(LONGEST)


def slow(hand: Hand) -> None:
    with _failing(hand, "network slow") as wan:
        before, wan.rtt = wan.rtt, hand.dice.uniform(0.05, 0.6)
        hand.wait(LONGEST / 2)
        wan.rtt = before


def _one_request(what: str, order: Callable[[Wan], threading.Event]) -> Kind:
    """The fault that hits the next request over a network."""

    def make(hand: Hand) -> None:
        with _failing(hand, what) as wan:
            order(wan).wait(1.0)

    return Kind(what, make)


KINDS = [
    Kind("network cut", cut),
    Kind("network stalled", stall),
    Kind("network deaf", deaf),
    Kind("network slow", slow),
    _one_request("request cut", Wan.cut_before_request),
    _one_request("cut after request", Wan.cut_after_request),
    _one_request("reply cut", Wan.cut_before_reply),
]
#: Only this shows writes that are applied too late, so it happens all the time.
LONG = [Kind("network stalled for long", stall_for_long)]
