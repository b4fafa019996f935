"""Values of every kind that travels, and what tells them apart."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections import namedtuple
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from fly_orm.codec import decode, encode, register_type


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
class Many(enum.Flag):
    A, B, C, D, E, F = 1, 2, 4, 8, 16, 32


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
