"""What the guest book's control room makes of its measurements, and what it says about ports."""

from __future__ import annotations

import errno

import pytest

from examples.guestbook.stage.chart import chart, duration, newest, nice, path, plot, table
from examples.guestbook.stage.history import SECONDS, History
from examples.guestbook.stage.lag import Positions
from examples.guestbook.stage.sockets import advice
from examples.guestbook.stage.steps import Step


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def step(where, kind, total=0.0, **fields):
    return Step(where=where, kind=kind, what="", text="", total=total, **fields)


def test_lag_is_the_age_of_the_oldest_position_that_is_not_replayed():
    positions = Positions()
    for now, position in ((1.0, 100), (2.0, 100), (3.0, 200), (4.0, 300)):
        positions.note(now, position)
    assert [positions.lag(5.0, replayed) for replayed in (300, 299, 200, 199, 100, 99)] == [
        0.0,
        1.0,
        1.0,
        2.0,
        2.0,
        4.0,
    ]
    positions.clear()
    assert positions.lag(5.0, 0) == 0.0


def test_the_history_counts_by_second_and_forgets_the_oldest():
    clock = Clock()
    history = History(clock)
    history.served("lax", [step("lax", "read"), step("syd", "read"), step("syd", "write", 150.0)], missed=True)
    history.lags("lax", 0.5)
    clock.now += 1
    history.served("lax", [step("", "write", 5.0, error="NotDelivered")])
    *_, before, current = history.of("lax")
    assert (before.reads, before.write, before.lag, before.missed, before.failed) == (
        {"lax": 1, "syd": 1},
        0.15,
        0.5,
        1,
        0,
    )
    assert (current.reads, current.write, current.lag, current.missed, current.failed) == ({}, None, None, 0, 1)
    assert [second.reads for second in history.of("ams")] == [{}] * SECONDS
    clock.now += SECONDS - 1
    assert [second.failed for second in history.of("lax")] == [1] + [0] * (SECONDS - 1)
    clock.now += 10 * SECONDS
    assert [second.failed for second in history.of("lax")] == [0] * SECONDS


def test_the_chart_shows_each_region():
    clock = Clock()
    history = History(clock)
    history.served("lax", [step("lax", "read"), step("syd", "read"), step("syd", "write", 150.0)], missed=True)
    drawn = chart(history)
    assert [(line.region, line.value) for line in drawn.write.lines] == [("lax", "150 ms")]
    assert drawn.lag.lines == []
    syd, lax, ams = drawn.reads
    assert (syd.share, lax.share, ams.share) == ("–", "50 %", "–")
    (cell,) = lax.cells
    assert (cell.x, cell.parts, cell.bad) == (SECONDS - 1, [("syd", 0.0, 50.0), ("lax", 50.0, 50.0)], True)


def test_the_values_of_an_earlier_second_can_be_read():
    clock = Clock()
    history = History(clock)
    history.served("lax", [step("lax", "read"), step("syd", "write", 150.0)])
    clock.now += 5
    history.served("lax", [step("syd", "read"), step("syd", "write", 300.0)])
    now, then, between = (chart(history, ago) for ago in (0, 5, 1))
    assert [each.write.lines[0].value for each in (now, then, between)] == ["300 ms", "150 ms", "–"]
    assert [each.reads[1].share for each in (now, then, between)] == ["50 %", "100 %", "–"]
    assert then.words == "5 seconds ago: write lax 150 ms; reads served locally syd –, lax 100 %, ams –"
    assert [(ago, row[1]) for ago, row in table(history)] == [
        (0, ("–", "300 ms", "0 %")),
        (5, ("–", "150 ms", "100 %")),
    ]
    assert [chart(history, ago).ago for ago in (-3, 10**9)] == [0, SECONDS - 1]


def test_a_line_is_interrupted_where_nothing_is_known():
    assert path([1.0, None, None, 2.0, None, None, None, 0.0], 2.0) == "M0 50.0L3 0.0M7 100.0"
    assert newest([1.0, None, None, 0.02, None, None]) == "20 ms"
    assert newest([1.0, None, None, None]) == "–"
    drawn = plot({"lax": [None, 7.0], "ams": [None, None]}, least=1.0)
    assert (drawn.top, [line.region for line in drawn.lines]) == ("10 s", ["lax"])


@pytest.mark.parametrize(
    ("value", "least", "top"), [(0.0, 1.0, 1.0), (1.0, 1.0, 1.0), (1.1, 1.0, 2.0), (0.21, 0.2, 0.3), (31.0, 1.0, 50.0)]
)
def test_a_scale_ends_at_a_round_number(value, least, top):
    assert nice(value, least) == pytest.approx(top)


@pytest.mark.parametrize(("seconds", "words"), [(0.0, "0 ms"), (0.1524, "152 ms"), (1.0, "1 s"), (3.44, "3.4 s")])
def test_durations_are_in_words(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EADDRINUSE, "port 80 of 127.0.0.1 is in use by another process. Choose 6 other ports"),
        (errno.EACCES, "this user may not listen at port 80. Choose 6 other ports"),
        (errno.EADDRNOTAVAIL, "cannot listen at port 80 of 127.0.0.1: no such address"),
    ],
)
def test_a_port_that_cannot_be_had_is_explained(number, words):
    assert advice("127.0.0.1", 80, OSError(number, "no such address")).startswith(words)
