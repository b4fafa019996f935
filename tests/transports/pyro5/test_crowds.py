"""Places are shared fairly between peers that hold the secret."""

from __future__ import annotations

import pytest

from fly_orm.errors import NotDelivered
from fly_orm.settings import Settings
from fly_orm.testing.contract.tools import LAST_REPLY, Held, in_thread, result, soon, until
from fly_orm_transports.pyro5 import Pyro5Transport, connection_table
from fly_orm_transports.pyro5.connection_table import ConnectionTable


class Place:
    def __init__(self, host, idle_time):
        self.host, self.idle_time = host, idle_time
        self.was_used = True

    def make_room(self):
        return self.idle_time is not None


def full(*places):
    table = ConnectionTable(len(places))
    made = [Place(*each) for each in places]
    assert all(table.admit(each) for each in made)
    return table, made


def test_a_connection_in_use_never_makes_room():
    table, _ = full(("a", None), ("a", None), ("a", None))
    assert not table.admit(Place("b", None))


def test_a_host_with_few_gets_a_place_from_the_one_with_most_even_if_that_was_used_just_now():
    table, (first, second, third, other) = full(("a", 0.1), ("a", 0.2), ("a", None), ("b", 0.3))
    assert table.admit(Place("c", None))
    assert not table.admit(Place("c", None)), "it would have more than a then"
    table.remove(second)
    assert table.snapshot()[:3] == [first, third, other]


def test_among_equals_the_one_that_was_idle_for_longest_makes_room_if_it_was_for_long():
    table, (first, second) = full(("a", 2.0), ("a", 3.0))
    new = Place("a", 0.0)
    assert table.admit(new)
    assert table.snapshot() == [second, first, new], "the one that leaves is still known"
    assert table.admit(Place("a", 0.0))
    assert not table.admit(Place("a", 0.0))


def test_one_host_leaves_every_fifth_place_to_others_however_busy_it_is():
    table = ConnectionTable(10)
    assert [table.admit(Place("a", None)) for _ in range(10)] == [True] * 8 + [False] * 2
    assert table.admit(Place("b", None))
    assert table.admit(Place("c", None))
    assert not table.admit(Place("d", None))


def test_what_goes_to_another_process_is_idle_and_was_used_before():
    """A peer that has just opened it would not expect that it has to open another one."""
    table, (busy, new, first, _second) = full(("a", None), ("a", 9.0), ("a", 2.0), ("b", 3.0))
    new.was_used = False
    for expected in ([busy, new, first], [busy, new], [busy, new]):
        table.let_one_go()
        assert table.taken == len(expected)
        assert table.snapshot()[-len(expected) :] == expected


def test_a_host_with_its_share_gets_a_place_of_its_own_that_was_idle_for_long():
    table = ConnectionTable(5)
    made = [Place("a", time) for time in (None, 2.0, 3.0, 0.5)]
    other = Place("b", 9.0)
    assert all(table.admit(each) for each in made)
    table.remove(made[0])
    assert table.admit(made[0])
    assert table.admit(other)
    for leaves in (made[2], made[1]):
        assert table.admit(Place("a", None))
        assert leaves in table._leaving
    assert not table.admit(Place("a", None)), "the others of its own are in use, or were used just now"


@pytest.fixture
def crowded(node):
    node.transport = Pyro5Transport(Settings(transport_options={"max_connections": "1"}))
    return node


def test_an_idle_channel_makes_room_and_its_caller_knows_that_nothing_was_executed(crowded, monkeypatch):
    monkeypatch.setattr(connection_table, "IDLE_TIME", 0.0)
    first = crowded.serve().connect()
    assert first.exchange(b"one", soon()) == b"one"
    second = crowded.connect()
    assert second.exchange(b"two", soon()) == b"two"
    with pytest.raises(NotDelivered):
        first.exchange(b"three", soon())
    until(lambda: [each.gone_calls for each in crowded.responders] == [1, 0])
    assert crowded.requests == [b"one", b"two"]


@pytest.mark.parametrize("why", ["answering", "needed", "used just now"])
def test_a_channel_that_is_not_idle_stays(crowded, monkeypatch, why):
    monkeypatch.setattr(connection_table, "IDLE_TIME", 1000.0 if why == "used just now" else 0.0)
    held = Held()
    crowded.serve(held if why == "answering" else bytes)
    channel = crowded.connect()
    pending = in_thread(channel.exchange, b"one", soon(20))
    until(lambda: crowded.requests)
    if why != "answering":
        result(pending)
    crowded.responders[0].is_idle = why != "needed"
    other = crowded.connect()
    until(lambda: len(crowded.responders) == 2 and crowded.responders[1].gone_calls)
    with pytest.raises(NotDelivered):
        assert other.exchange(b"two", soon()) == LAST_REPLY
        other.exchange(b"three", soon())
    held.released.set()
    result(pending)
    assert channel.exchange(b"four", soon()).endswith(b"four")
    assert crowded.requests == [b"one", b"four"]
