"""What cannot travel is refused, and the error says where it is and what to do."""

from __future__ import annotations

import dataclasses
import enum
import socket
import sys
import types
from collections import OrderedDict
from datetime import datetime, time, timedelta, tzinfo
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fly_orm.codec import CodecError, decode, encode
from fly_orm.codec.nodes import MAX_DEPTH
from fly_orm.errors import NotPortable
from tests.codec.sample import Color, Pair, Point, back, paris, price, same


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
    "a class": (
        lambda: int,
        ": the class int cannot travel: only a class method can be called for one, if it is defined in a class at the "
        "top level of a module; pass its name",
    ),
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
