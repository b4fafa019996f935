"""Values arrive as they were sent, of the very same types."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from ipaddress import ip_interface, ip_network
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fly_orm.codec import decode, encode, encode_error
from fly_orm.errors import NotPortable
from tests.codec.sample import SAMPLE, Color, Level, Mode, Money, Old, Pair, Point, Right, back, price, same, utc
from tests.support import ROOT

zones = st.none() | st.timezones() | st.builds(timezone, st.timedeltas(timedelta(hours=-23), timedelta(hours=23)))


folds = st.integers(0, 1)


surrogates = st.text(st.characters(exclude_categories=()))


hashable_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**200), 2**200),
    st.floats(),
    st.complex_numbers(),
    st.text(),
    surrogates,
    st.binary(),
    st.builds(lambda d, z, f: d.replace(tzinfo=z, fold=f), st.datetimes(), zones, folds),
    st.builds(lambda t, z, f: t.replace(tzinfo=z, fold=f), st.times(), zones, folds),
    st.dates(),
    st.timedeltas(),
    zones,
    st.decimals().filter(lambda number: not number.is_snan()),
    st.fractions(),
    st.uuids(),
    st.ip_addresses(),
    st.ip_addresses().map(ip_interface),
    st.ip_addresses().map(ip_network),
    st.sampled_from([*Color, *Level, Right.READ | Right.WRITE, Right(0), Mode(5)]),
    st.builds(Money, st.integers()),
)


hashables = st.recursive(
    hashable_scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple),
        st.frozensets(inner, max_size=3),
        st.builds(Point, x=inner, y=inner),
        st.builds(Pair, inner, inner),
    ),
    max_leaves=5,
)


values = st.recursive(
    hashables | st.binary().map(bytearray) | st.binary().map(memoryview) | st.just(Decimal("sNaN12")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(hashables, inner, max_size=4),
        st.sets(hashables, max_size=4),
        st.builds(price, inner, surrogates, inner),
        st.builds(Old, inner, inner),
    ),
    max_leaves=12,
)


SINGLE = [item for part in SAMPLE for item in (part if isinstance(part, list) else [part])]


@pytest.mark.parametrize("index", range(len(SINGLE)))
def test_a_value_arrives_as_it_was(index):
    assert same(back(SINGLE[index]), SINGLE[index])


@settings(max_examples=250)
@given(values)
def test_values_nested_in_any_way_arrive_as_they_were(value):
    assert same(back(value), value)


ECHO = """
import sys
from fly_orm.codec import decode, encode
from fly_orm.errors import NotPortable
from tests.codec.sample import SAMPLE, same
value = decode(bytes.fromhex(sys.stdin.read()))
assert same(value, SAMPLE), "it has arrived as something else"
print(encode(value, "the result").hex())
"""


def test_values_travel_to_another_process_and_back():
    done = subprocess.run(
        [sys.executable, "-c", ECHO],
        input=encode(SAMPLE, "the sample").hex(),
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert same(decode(bytes.fromhex(done.stdout)), SAMPLE)


def test_the_comparison_tells_values_apart():
    pairs = [(0.0, -0.0), (1, True), (1, 1.0), ([1], (1,)), ({1: 2, 3: 4}, {3: 4, 1: 2}), (Decimal("1.0"), Decimal(1))]
    folds = (datetime(2024, 1, 1), datetime(2024, 1, 1, fold=1))
    pairs += [(utc, ZoneInfo("UTC")), folds, ({1}, {True}), (float("nan"), 1.0), (1.0, float("nan"))]
    assert not [pair for pair in pairs if same(*pair)]
    assert same(float("nan"), -float("nan"))


def test_the_time_zone_of_utc_is_the_one_object():
    assert back(datetime(2024, 1, 1, tzinfo=utc)).tzinfo is timezone.utc
    assert back(utc) is timezone.utc


def test_a_memoryview_arrives_as_a_view_of_its_bytes():
    view = memoryview(bytearray(b"abcdef"))[::2]
    assert back(view) == memoryview(b"ace")


def test_a_huge_integer_takes_no_decimal_text():
    number = 7**10_000
    assert back(number) == number


def test_integers_beyond_64_bits_travel_in_sets():
    assert back({2**70, -(2**70), frozenset({2**80})}) == {2**70, -(2**70), frozenset({2**80})}


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (7**20_000, "an int of 56148 bits cannot travel; pass its to_bytes"),
        (Decimal("1E+1000000"), r"a Decimal of 10 characters, 1E\+1000000, cannot travel; pass its str"),
        (Decimal("0E-1000000"), "a Decimal of 10 characters"),
        (Decimal("1" * 150_000), "a Decimal of 150000 characters, 11111111111111111111, cannot travel"),
        (Fraction(1, 3**4_000), "a Fraction with so many digits"),
    ],
    ids=["an int", "an exponent", "an exponent of zero", "digits", "a fraction"],
)
def test_a_number_of_too_many_digits_is_refused_before_it_is_sent(value, advice):
    with pytest.raises(NotPortable, match=advice):
        encode([value], "the result")


def test_a_value_of_too_many_elements_is_refused_before_it_is_sent():
    assert encode([0] * 98, "the result", 100)
    with pytest.raises(NotPortable, match=r"the result: it has more than 100 elements.*raise FLY_ORM_MAX_ELEMENTS"):
        encode([["a" * 40]] * 50, "the result", 100)


def test_every_array_on_the_wire_begins_with_its_kind():
    def check(node: Any) -> None:
        assert type(node) in (list, type(None), bool, int, float, str, bytes)
        if type(node) is list:
            assert type(node[0]) is int
            for item in node[1:]:
                check(item)

    check(msgspec.msgpack.decode(encode(SAMPLE, "the sample")))
    check(msgspec.msgpack.decode(encode_error(ValueError("a", [1]))))
