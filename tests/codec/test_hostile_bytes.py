"""Hostile bytes do nothing."""

from __future__ import annotations

import contextlib
from datetime import datetime

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fly_orm.codec import CodecError, converters, decode, decode_all, decode_error, encode, encode_error
from fly_orm.deadline import thread_time
from tests.codec import sample
from tests.codec.sample import SAMPLE, utc
from tests.support.memory import takes_at_most, takes_little_memory


def harmless(data: bytes) -> None:
    for read in (decode, decode_error):
        with contextlib.suppress(CodecError):
            read(data)


pack = msgspec.msgpack.encode


WRONG = {
    "nothing": b"",
    "cut off": b"\x93\x00\x01",
    "more than one": b"\x01\x01",
    "a map": pack({"a": 1}),
    "a map in a list": pack([0, {}]),
    "an extension": pack([0, msgspec.msgpack.Ext(5, b"x")]),
    "a timestamp": pack([0, datetime(2024, 1, 1, tzinfo=utc)]),
    "no kind": pack([]),
    "text for a kind": pack(["x", 1]),
    "true for a kind": pack([True, 1]),
    "a float for a kind": pack([1.0, 1]),
    "an array for a kind": pack([[0], 1]),
    "an unknown kind": pack([99]),
    "a negative kind": pack([-1]),
    "a key without value": pack([4, 1]),
    "an unhashable key": pack([4, [0], 1]),
    "an unhashable item": pack([2, [0]]),
    "an unhashable dict in a frozenset": pack([3, [4]]),
    "a signalling key": pack([2, [10, "sNaN"]]),
    "a decimal of two": pack([10, "1", "2"]),
    "a decimal of a float": pack([10, 1.5]),
    "a decimal of words": pack([10, "one"]),
    "an address of an int": pack([19, 1]),
    "an address out of range": pack([19, "1.2.3.999"]),
    "a short UUID": pack([12, b"1"]),
    "a UUID of text": pack([12, "0" * 32]),
    "a fraction by zero": pack([11, 1, 0]),
    "a fraction of floats": pack([11, 1.5, 1]),
    "a fraction of a bool": pack([11, True, 1]),
    "a timedelta too long": pack([16, 10**12, 0, 0]),
    "a timedelta of floats": pack([16, 1.5, 0, 0]),
    "a time zone too far": pack([17, 10**6, 0]),
    "a date of nonsense": pack([13, "yesterday"]),
    "a fold of two": pack([15, "2024-01-01T00:00:00", None, 2]),
    "a time in no zone": pack([15, "2024-01-01T00:00:00", "Europe/Paris", 0]),
    "a zone outside": pack([18, "../../etc/passwd"]),
    "an absolute zone": pack([18, "/etc/passwd"]),
    "a dotted zone": pack([18, "os.path"]),
    "a folder for a zone": pack([18, "Europe"]),
    "a zone with a NUL": pack([18, "UTC\0"]),
    "a long zone": pack([18, "a" * 5000]),
    "no zone": pack([18, "Nowhere/Else"]),
    "no UTF-8": b"\xa1\xff",
    "surrogates that are none": pack([8, b"\xff"]),
    "a big int of text": pack([7, "1"]),
    "an unknown class": pack([25, "os:system", "ls"]),
    "a class without instance": pack([25]),
    "an enum of nothing": pack([25, f"{sample.__name__}:Color"]),
    "no member": pack([25, f"{sample.__name__}:Color", "BLUE"]),
    "a dunder for a member": pack([25, f"{sample.__name__}:Color", "__class__"]),
    "a flag of text": pack([25, f"{sample.__name__}:Right", "READ"]),
    "a negative flag": pack([25, f"{sample.__name__}:Right", -64]),
    "a flag too many": pack([25, f"{sample.__name__}:Right", 64]),
    "a field twice": pack([25, f"{sample.__name__}:Point", "x", 1, "x", 2, "y", 1]),
    "an unknown family": pack([26, "sqlalchemy", "x", [4]]),
    "an error without parts": pack([27, "module:builtins:ValueError"]),
    "a remote error for a value": pack([28, "x", "y", [0], None, False]),
}


@pytest.mark.parametrize("case", WRONG)
def test_bytes_that_stand_for_nothing_are_a_codec_error(case):
    with pytest.raises(CodecError):
        decode(WRONG[case])
    harmless(WRONG[case])


HUGE = {
    "an array of billions": b"\xdd\xff\xff\xff\xff",
    "many arrays of millions": b"\xdd\x0f\xff\xff\xff" * 1000,
    "a text of billions": b"\xdb\xff\xff\xff\xff",
    "bytes of billions": b"\xc6\xff\xff\xff\xff",
    "a map of billions": b"\xdf\xff\xff\xff\xff",
    "a nest of lists": b"\x92\x00" * 100_000 + b"\x00",
    "a nest of empty kinds": b"\x91" * 100_000,
    "an exponent of billions": pack([10, "1E+999999999999999999"]),
    "keys with great exponents": pack([2, [10, "1E+999999"], [10, "1E+999998"], 1]),
}


@pytest.mark.parametrize("case", HUGE)
def test_few_bytes_do_not_take_much_memory(case):
    assert takes_little_memory(harmless, HUGE[case])


PRIME = 2**61 - 1  # hash() of an int is the rest of its division by this


def packed_array(items: list[bytes]) -> bytes:
    return b"\xdd" + len(items).to_bytes(4, "big") + b"".join(items)


def colliding(count: int) -> list[bytes]:
    """Integers with one hash."""
    return [pack([7, (number * PRIME).to_bytes(16, "big")]) for number in range(10, count + 10)]


COLLIDING = {
    "a set": packed_array([b"\x02", *colliding(60_000)]),
    "a frozenset": packed_array([b"\x03", *colliding(60_000)]),
    "a dict": packed_array([b"\x04", *(part for key in colliding(60_000) for part in (key, b"\xc0"))]),
    "tuples": packed_array([b"\x02", *(packed_array([b"\x01", key]) for key in colliding(60_000))]),
    "many sets": packed_array([b"\x00", *[packed_array([b"\x02", *colliding(3_000)])] * 20]),
}


@pytest.mark.parametrize("case", COLLIDING)
def test_keys_that_collide_take_little_time(case):
    before = thread_time()
    with pytest.raises(CodecError, match="the keys of a dict or the items of a set collide"):
        decode(COLLIDING[case])
    assert thread_time() - before < 5  # seconds of the processor; without a bound, 60,000 keys take 30


def test_keys_that_do_not_collide_are_as_many_as_may_be():
    numbers = packed_array([b"\x02", *(pack(number) for number in range(300_000))])
    assert decode(numbers) == set(range(300_000))


ELEMENTS = {
    "empty arrays": packed_array([b"\x00", *[b"\x90"] * 100_000]),
    "lists": packed_array([b"\x00", *[b"\x91\x00"] * 100_000]),
    "dicts": packed_array([b"\x00", *[b"\x91\x04"] * 100_000]),
    "short texts": packed_array([b"\x00", *[b"\xa2ab"] * 100_000]),
}


@pytest.mark.parametrize("case", ELEMENTS)
def test_more_elements_than_the_limit_take_no_memory(case):
    assert takes_at_most(200_000, refused, ELEMENTS[case])  # those are up to 15 MB


def refused(data: bytes) -> None:
    with pytest.raises(CodecError, match=r"more than 10000 elements.*FLY_ORM_MAX_ELEMENTS"):
        decode(data, 10_000)


def test_the_arguments_of_a_call_share_the_limit():
    parts = [packed_array([b"\x00", *[b"\x01"] * 600]) for _ in range(2)]
    assert decode_all(parts, 1300) == [[1] * 600] * 2
    with pytest.raises(CodecError, match="more than 1200 elements"):
        decode_all(parts, 1200)


DIGITS = {
    "an int": pack([7, b"\x01" * 5000]),
    "a flag": pack([25, f"{sample.__name__}:Mode", [7, b"\x01" * 40]]),
    "a decimal": pack([10, "9" * 200_000]),
    "an exponent": pack([10, "1E+1000000"]),
    "an exponent of zero": pack([10, "0E+999999999"]),
    "a fraction": pack([11, 1, [7, b"\x01" * 1000]]),
    "a date": pack([13, "2" * 200]),
    "an address": pack([20, ":" * 200]),
    "a zone": pack([18, "a" * 200]),
}


@pytest.mark.parametrize("case", DIGITS)
def test_a_value_of_too_many_digits_is_a_codec_error(case):
    with pytest.raises(CodecError, match=r"allowed|more than 256 bits|too many digits"):
        decode(DIGITS[case])


def test_the_values_of_an_int_flag_that_arrive_do_not_stay_in_memory():
    decode(pack([25, f"{sample.__name__}:Mode", 6]))
    before = len(sample.Mode._value2member_map_)
    for value in range(1000, 1100):
        assert decode(pack([25, f"{sample.__name__}:Mode", value])) == value
    assert len(sample.Mode._value2member_map_) == before


def test_the_combinations_of_a_flag_that_stay_in_memory_are_bounded(monkeypatch):
    monkeypatch.setattr(converters, "_MAX_KEPT", len(sample.Many._value2member_map_) + 10)
    name = f"{sample.__name__}:Many"
    for value in range(33, 43):
        assert decode(pack([25, name, value])) is sample.Many(value)
    with pytest.raises(CodecError, match=r"more than .* combinations in this process"):
        decode(pack([25, name, 63]))
    assert decode(pack([25, name, 32])) is sample.Many(32)


@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_any_bytes_are_harmless(data):
    harmless(data)


VALID = [encode(part, "x") for part in SAMPLE] + [encode_error(KeyError("k")), encode_error(OSError(2, "no", "file"))]


@settings(max_examples=400)
@given(st.sampled_from(VALID), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4))
def test_altered_messages_are_harmless(data, changes):
    altered = bytearray(data)
    for place, byte in changes:
        altered[place % len(altered)] = byte
    harmless(bytes(altered))


NAMES = [f"{sample.__name__}:{name}" for name in ("Color", "Right", "Price", "Point", "Pair", "Nothing")] + ["money"]


ERRORS = ["ValueError", "OSError", "UnicodeDecodeError", "SystemExit", "ExceptionGroup", "SyntaxError", "int", "eval"]


leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 30),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(max_size=4),
    st.binary(max_size=17),
    st.sampled_from([*NAMES, *(f"module:builtins:{name}" for name in ERRORS), "RED", "x", "y", "peewee", "UTC", "1E9"]),
)


trees = st.recursive(
    leaves,
    lambda inner: st.builds(lambda kind, items: [kind, *items], st.integers(0, 28), st.lists(inner, max_size=10)),
)


@pytest.mark.slow
@settings(max_examples=600)
@given(trees)
@example([27, "module:builtins:SystemExit", "SystemExit", "1", [1, 1], [4], [4], [0], [0], None, False])
def test_any_tree_of_nodes_is_harmless(tree):
    harmless(pack(tree))


def test_a_class_that_is_not_registered_here_is_named():
    with pytest.raises(CodecError, match=r"the class 'shop:Basket' is not registered here with fly_orm.register_type"):
        decode(pack([25, "shop:Basket", "x", 1]))


@pytest.mark.parametrize("key", ["../../etc/passwd", "/etc/passwd", "os.path", "UTC\0", "", "a//b"])
def test_a_zone_is_not_looked_for_where_no_zones_are(key):
    with pytest.raises(CodecError, match="is not a key of a time zone"):
        decode(pack([18, key]))
