"""Whoever takes the most places pays for the newcomers, and nobody else does."""

from __future__ import annotations

import random
from itertools import count

import pytest

from fly_orm_transports.pyro5.fair_queue import FairQueue
from fly_orm_transports.pyro5.networks import network_of


def filled(queue, *networks):
    """The items that were added, named after their networks, and those that they displaced."""
    numbers = count()
    added = [(f"{network}{next(numbers)}", network) for network in networks]
    return [item for item, _ in added], [queue.add(*each) for each in added]


def test_below_the_limits_nobody_is_displaced():
    queue = FairQueue(4, 3)
    items, displaced = filled(queue, "a", "a", "a", "b")
    assert queue.snapshot() == items
    assert displaced == [None] * 4


def test_the_oldest_of_the_largest_network_makes_room():
    queue = FairQueue(4, 4)
    assert filled(queue, "b", "a", "a", "a", "b", "b", "c")[1] == [None, None, None, None, "a1", "b0", "a2"]
    assert queue.snapshot() == ["a3", "b4", "b5", "c6"]


def test_a_network_at_its_own_limit_displaces_one_of_its_own():
    queue = FairQueue(10, 2)
    assert filled(queue, "a", "b", "a", "a")[1] == [None, None, None, "a0"]


def test_a_preferred_item_goes_after_the_others_of_its_network_and_before_those_of_smaller_ones():
    queue = FairQueue(4, 4)
    filled(queue, "a", "b", "a", "a")
    queue.prefer("a0")
    queue.prefer("a0")
    assert [queue.add(f"a{number}", "a") for number in (4, 5)] == ["a2", "a3"]
    for item in ("a4", "a5"):
        queue.prefer(item)
    assert queue.add("c", "c") == "a0"


def test_a_flood_from_many_addresses_leaves_a_newcomer_its_place_for_as_long_as_they_have_more():
    queue = FairQueue(1024, 1024)
    queue.add("honest", "honest")
    for number in range(20_000):
        assert queue.add(number, f"hostile {number % 50}") != "honest"


def test_an_empty_queue_has_no_oldest_and_nothing_to_give_up():
    queue = FairQueue(1, 1)
    queue.add("a", "a")
    queue.remove("a")
    queue.remove("a")
    assert (queue.oldest, queue.next_to_go, len(queue)) == (None, None, 0)


def test_the_books_agree_with_a_plain_count():
    choose, queue, networks = random.Random(3), FairQueue(20, 8), {}
    for item in range(3000):
        network = f"network {min(choose.randrange(9), choose.randrange(9))}"
        sizes = [list(networks.values()).count(each) for each in set(networks.values())]
        displaced = queue.add(item, network)
        if displaced is not None:
            lost = networks.pop(displaced)
            size = list(networks.values()).count(lost) + 1
            assert size == max(sizes) or (lost == network and size == 8)
        networks[item] = network
        for gone in choose.sample(sorted(networks), choose.randrange(3) if len(networks) > 3 else 0):
            queue.remove(gone)
            del networks[gone]
        assert queue.snapshot() == list(networks)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("2001:db8::1", "2001:db8:0:0:ffff::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("::1", "::2", True),
    ],
)
def test_ipv6_addresses_of_one_customer_are_one_network(one, other, same):
    assert (network_of(one) == network_of(other)) is same
