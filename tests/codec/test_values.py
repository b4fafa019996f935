"""Values arrive as they were sent, of the very same types, and hostile bytes do nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import math
import os
import socket
import subprocess
import sys
import tracemalloc
import types
from collections import OrderedDict, namedtuple
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fly_orm.codec import CodecError, decode, decode_error, encode, encode_error, register_type
from fly_orm.codec.nodes import MAX_DEPTH
from fly_orm.errors import NotPortable
from tests.support import ROOT


@register_type
class Color(enum.Enum):
    RED = 1
    GREEN = (2,)
    ROUGE = 1  # noqa: PIE796  # an alias


@register_type
class Level(enum.IntEnum):
    LOW = 1


@register_type
class Right(enum.Flag):
    READ = 1
    WRITE = 2


@register_type
class Mode(enum.IntFlag):
    EXECUTE = 1


@register_type
@dataclasses.dataclass
class Price:
    amount: Any
    currency: str = "EUR"
    doubled: Any = dataclasses.field(init=False, default=None)

    def __post_init__(self) -> None:
        raise AssertionError("not called on the way")


@register_type
@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    __slots__ = ("x", "y")
    x: Any
    y: Any


@register_type
class Pair(NamedTuple):
    left: Any
    right: Any = 0


Old = register_type(namedtuple("Old", "a b"))


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and other.cents == self.cents

    def __hash__(self) -> int:
        return hash(self.cents)


register_type(Money, name="money", encode=lambda money: {"cents": money.cents}, decode=lambda d: Money(d["cents"]))


def price(amount: Any, currency: str = "EUR", doubled: Any = None) -> Price:
    made = object.__new__(Price)
    made.amount, made.currency, made.doubled = amount, currency, doubled
    return made


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal and of the same types, all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return math.isnan(one) == math.isnan(other) and (math.isnan(one) or one.hex() == other.hex())
    if isinstance(one, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    if isinstance(one, (set, frozenset)):
        return len(one) == len(other) and all(any(same(item, twin) for twin in other) for item in one)
    return same_scalar(one, other)


def same_scalar(one: Any, other: Any) -> bool:
    if isinstance(one, Decimal):
        return one.as_tuple() == other.as_tuple()
    if isinstance(one, (datetime, time)):
        bare = one.replace(tzinfo=None) == other.replace(tzinfo=None)
        return bare and one.fold == other.fold and same(one.tzinfo, other.tzinfo)
    if isinstance(one, timezone):
        return one.utcoffset(None) == other.utcoffset(None) and one.tzname(None) == other.tzname(None)
    if dataclasses.is_dataclass(one):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one))
    return bool(one == other)


def back(value: Any) -> Any:
    return decode(encode(value, "the result"))


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

paris, utc = ZoneInfo("Europe/Paris"), timezone.utc
SAMPLE = [
    [None, True, False, 0, -1, 2**63, 2**64, -(2**63) - 1, -(2**64), 10**5000, -(10**5000), 128, -128, 2**64 - 1],
    [1.5, -0.0, float("nan"), float("inf"), float("-inf"), 5e-324, complex(-0.0, float("nan"))],
    ["", "é😀", "\ud800", "a\udcffb", "\ud83d\ude00", "\0", b"", b"\xff", bytearray(b"x"), memoryview(b"y")],
    [[], (), set(), frozenset(), {}, (1,), [1, (2, [3])], {1, (2,)}, frozenset({frozenset({1})})],
    {None: 1, (1, "a"): 2, 1.5: 3, frozenset({1}): 4, b"k": 5, Color.RED: 6, True: 7, date(2024, 1, 1): 8},
    {"z": 1, "a": 2, "m": {"\udc80": Decimal(1)}},
    [datetime(2024, 2, 29, 1, 2, 3, 4), datetime.min, datetime.max, datetime(2024, 10, 27, 2, 30, fold=1)],
    [datetime(2024, 10, 27, 2, 30, tzinfo=paris, fold=fold) for fold in (0, 1)],
    [datetime(2024, 1, 1, tzinfo=utc), datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=-3, microseconds=7)))],
    [datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=1), "CET")), timezone(timedelta(0), "Z"), utc, paris],
    [time(1, 2, 3, 4), time(1, tzinfo=utc, fold=1), time(2, tzinfo=paris), time.max, date.min, date.max],
    [timedelta.min, timedelta.max, timedelta(microseconds=-1), timedelta(0)],
    [Decimal(text) for text in ("0", "-0", "1.50", "1E+999", "1E-999", "NaN", "-NaN7", "sNaN", "-sNaN9", "-Infinity")],
    [UUID(int=0), UUID(int=2**128 - 1), Fraction(-1, 3), Fraction(10**400, 7)],
    [ip_address("1.2.3.4"), ip_address("::1"), ip_address("fe80::1%eth0"), ip_interface("1.2.3.4/8")],
    [ip_interface("fe80::1%eth0/64"), ip_network("10.0.0.0/8"), ip_network("::/0")],
    [Color.RED, Color.GREEN, Level.LOW, Right.READ, Right.READ | Right.WRITE, Right(0), Mode.EXECUTE, Mode(2**70)],
    [price(Decimal(1), doubled=[2]), Point(x=1, y=(2, Color.RED)), Pair(1, Pair(2)), Old([], {}), Money(5)],
]


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
from tests.codec.test_values import SAMPLE, same
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
    number = 7**200_000
    assert back(number) == number


def test_every_array_on_the_wire_begins_with_its_kind():
    def check(node: Any) -> None:
        assert type(node) in (list, type(None), bool, int, float, str, bytes)
        if type(node) is list:
            assert type(node[0]) is int
            for item in node[1:]:
                check(item)

    check(msgspec.msgpack.decode(encode(SAMPLE, "the sample")))
    check(msgspec.msgpack.decode(encode_error(ValueError("a", [1]))))


class Text(str):
    __slots__ = ()


class Zone(tzinfo):
    def utcoffset(self, moment: Any) -> timedelta:
        return timedelta(0)

    def dst(self, moment: Any) -> None:
        return None


class LocalColor(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Unregistered:
    x: int = 1


class SubPoint(Point):
    pass


def odd_zone() -> ZoneInfo:
    with next(Path(folder, "UTC").open("rb") for folder in _zone_folders()) as file:
        return ZoneInfo.from_file(file)


def _zone_folders() -> list[str]:
    from zoneinfo import TZPATH

    return [folder for folder in TZPATH if Path(folder, "UTC").exists()]


def released() -> memoryview:
    view = memoryview(b"x")
    view.release()
    return view


ADVICE = "register its class with fly_orm.register_type, or pass something else"
ZONE_ADVICE = "use a datetime.timezone, or a zoneinfo.ZoneInfo that has a key"
REFUSED = {
    "a function": (lambda: [1, {"f": len}], "[1]['f']: a builtin_function_or_method cannot travel; " + ADVICE),
    "an object": (object, ": an object cannot travel; " + ADVICE),
    "a class": (lambda: int, ": a type cannot travel; " + ADVICE),
    "a field": (lambda: [0, 0, 0, price(object())], "[3].amount: an object cannot travel; " + ADVICE),
    "a key": (
        lambda: {(1, Text("x")): 1},
        f" (a key)[1]: a {__name__}.Text (a subclass of str) cannot travel; {ADVICE}",
    ),
    "an item": (lambda: {Text("x")}, f" (an item): a {__name__}.Text (a subclass of str) cannot travel; {ADVICE}"),
    "a dict": (
        lambda: {1: OrderedDict()},
        "[1]: a collections.OrderedDict (a subclass of dict) cannot travel; " + ADVICE,
    ),
    "a bool": (lambda: (LocalColor.RED,), f"[0]: a {__name__}.LocalColor cannot travel; {ADVICE}"),
    "a dataclass": (Unregistered, f": a {__name__}.Unregistered cannot travel; {ADVICE}"),
    "a subclass": (lambda: SubPoint(x=1, y=2), f": a {__name__}.SubPoint cannot travel; {ADVICE}"),
    "a namespace": (lambda: types.SimpleNamespace(x=1), ": a types.SimpleNamespace cannot travel; " + ADVICE),
    "a named field": (lambda: Pair(1, [object()]), ".right[0]: an object cannot travel; " + ADVICE),
    "a zone": (
        lambda: [datetime(2024, 1, 1, tzinfo=Zone())],
        f"[0]: a datetime.datetime in the zone of a {__name__}.Zone cannot travel; {ZONE_ADVICE}",
    ),
    "a zone without key": (
        lambda: [time(1, tzinfo=odd_zone())],
        f"[0]: a datetime.time in the zone of a zoneinfo.ZoneInfo cannot travel; {ZONE_ADVICE}",
    ),
    "a released view": (
        lambda: [released()],
        "[0]: a memoryview cannot be read (operation forbidden on released memoryview object); pass bytes",
    ),
    "an error": (lambda: [ValueError(1, object())], "[0].args[1]: an object cannot travel; " + ADVICE),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_travel_is_refused_with_its_place(case):
    make, message = REFUSED[case]
    with pytest.raises(NotPortable) as caught:
        encode(make(), "argument 'items'")
    assert str(caught.value) == "argument 'items'" + message


def test_a_socket_is_named_by_its_class():
    with socket.socket() as own, pytest.raises(NotPortable) as caught:
        encode([1, 2, 3, price(own)], "argument 'items'")
    assert str(caught.value) == f"argument 'items'[3].amount: a socket.socket cannot travel; {ADVICE}"
    assert caught.value.path == "argument 'items'[3].amount"


def cyclic(kind: str) -> Any:
    inner: list[Any] = []
    outer: Any = {"list": inner, "dict": {"a": inner}, "tuple": (1, inner), "dataclass": price(inner)}[kind]
    inner += [outer, outer]
    return outer


@pytest.mark.parametrize("kind", ["list", "dict", "tuple", "dataclass"])
def test_a_value_that_contains_itself_is_refused(kind):
    with pytest.raises(NotPortable, match=r"…: it contains itself, so it cannot travel; pass something that does not$"):
        encode(cyclic(kind), "argument 'a'")


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_a_value_may_be_nested_up_to_a_depth():
    assert same(back(nested(MAX_DEPTH)), nested(MAX_DEPTH))
    leaf: Any = [datetime(2024, 1, 1, tzinfo=paris), Fraction(10**30, 7), "\ud800", Color.RED, ValueError(1)]
    for _ in range(MAX_DEPTH - 4):
        leaf = (leaf,)
    assert back(leaf) is not None


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 100_000])
def test_a_value_that_is_nested_deeper_is_refused(depth):
    with pytest.raises(NotPortable, match=r"^the result\[0\].*…: it is nested more than 200 levels deep; pass"):
        encode(nested(depth), "the result")


def test_a_stack_that_is_nearly_used_up_is_no_recursion_error():
    def within(frames: int) -> bytes:
        return within(frames - 1) if frames else encode(nested(MAX_DEPTH), "the result")

    data = encode(nested(MAX_DEPTH), "the result")
    used = len(list(_frames()))
    with pytest.raises(NotPortable, match="too deeply for the stack"):
        within(sys.getrecursionlimit() - used - 100)

    def decoding(frames: int) -> Any:
        return decoding(frames - 1) if frames else decode(data)

    with pytest.raises(CodecError):
        decoding(sys.getrecursionlimit() - used - 100)


def _frames() -> Any:
    frame: Any = sys._getframe()
    while frame:
        yield frame
        frame = frame.f_back


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
    "an enum of nothing": pack([25, f"{__name__}:Color"]),
    "no member": pack([25, f"{__name__}:Color", "BLUE"]),
    "a dunder for a member": pack([25, f"{__name__}:Color", "__class__"]),
    "a flag of text": pack([25, f"{__name__}:Right", "READ"]),
    "a negative flag": pack([25, f"{__name__}:Right", -64]),
    "a flag too many": pack([25, f"{__name__}:Right", 64]),
    "a field twice": pack([25, f"{__name__}:Point", "x", 1, "x", 2, "y", 1]),
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
    tracemalloc.start()
    try:
        harmless(HUGE[case])
        assert tracemalloc.get_traced_memory()[1] < 50 * len(HUGE[case]) + 200_000
    finally:
        tracemalloc.stop()


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


NAMES = [f"{__name__}:{name}" for name in ("Color", "Right", "Price", "Point", "Pair", "Nothing")] + ["money"]
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
