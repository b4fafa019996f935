"""Nodes of different releases understand each other: what each tag means on the wire does not change."""

from __future__ import annotations

import enum
import uuid
from collections import namedtuple
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from ipaddress import ip_address, ip_interface, ip_network
from zoneinfo import ZoneInfo

import msgspec
import peewee
import pytest

from fly_orm.adapters.loading import load_adapter
from fly_orm.codec import decode, decode_error, encode, encode_error, register_type
from fly_orm.errors import RemoteError


@register_type(name="wire:Color")
class Color(enum.Enum):
    RED = 1


@register_type(name="wire:Access")
class Access(enum.Flag):
    READ = 1
    WRITE = 2


@register_type(name="wire:Point")
@dataclass
class Point:
    x: int
    y: int


Pair = register_type(namedtuple("Pair", "left right"), name="wire:Pair")  # the other kind is no different


@register_type(name="wire:Broken")
class Broken(Exception):
    pass


class Note(peewee.Model):
    text = peewee.TextField()


load_adapter("peewee")
NOTE = f"{__name__}:Note"

#: A value, and the array that stands for it.
NODES = {
    "plain": ([None, True, 1, 0.5, "é", b"\0"], [0, None, True, 1, 0.5, "é", b"\0"]),
    "tuple": ((1, (2,)), [1, 1, [1, 2]]),
    "set": ({1}, [2, 1]),
    "frozenset": (frozenset({1}), [3, 1]),
    "dict": ({"a": 1, (2,): []}, [4, "a", 1, [1, 2], [0]]),
    "bytearray": (bytearray(b"x"), [5, b"x"]),
    "memoryview": (memoryview(b"x"), [6, b"x"]),
    "large int": (2**64, [7, b"\x01" + b"\0" * 8]),
    "surrogates": ("\ud800", [8, b"\xed\xa0\x80"]),
    "complex": (1 + 2j, [9, 1.0, 2.0]),
    "Decimal": (Decimal("1.50"), [10, "1.50"]),
    "Fraction": (Fraction(1, 3), [11, 1, 3]),
    "UUID": (uuid.UUID(int=1), [12, b"\0" * 15 + b"\x01"]),
    "date": (date(2024, 2, 29), [13, "2024-02-29"]),
    "time": (time(1, 2), [14, "01:02:00"]),
    "datetime": (datetime(2024, 1, 1), [15, "2024-01-01T00:00:00"]),
    "datetime with a zone": (
        datetime(2024, 1, 1, tzinfo=timezone.utc, fold=1),
        [15, "2024-01-01T00:00:00", [17, 0, 0], 1],
    ),
    "timedelta": (timedelta(1, 2, 3), [16, 1, 2, 3]),
    "named timezone": (timezone(timedelta(hours=1), "X"), [17, 3600, 0, "X"]),
    "ZoneInfo": (ZoneInfo("UTC"), [18, "UTC"]),
    "IPv4 address": (ip_address("1.2.3.4"), [19, "1.2.3.4"]),
    "IPv6 address": (ip_address("::1"), [20, "::1"]),
    "IPv4 interface": (ip_interface("1.2.3.4/8"), [21, "1.2.3.4/8"]),
    "IPv6 interface": (ip_interface("::1/8"), [22, "::1/8"]),
    "IPv4 network": (ip_network("1.0.0.0/8"), [23, "1.0.0.0/8"]),
    "IPv6 network": (ip_network("1::/16"), [24, "1::/16"]),
    "Enum": (Color.RED, [25, "wire:Color", "RED"]),
    "Flag": (Access.READ | Access.WRITE, [25, "wire:Access", 3]),
    "dataclass": (Point(1, 2), [25, "wire:Point", "x", 1, "y", 2]),
    "namedtuple": (Pair(1, 2), [25, "wire:Pair", "left", 1, "right", 2]),
    "model": (Note(id=1, text="x"), [26, "peewee", NOTE, [4], [4, "id", 1, "text", "x"], [4]]),
}


def raised(reference, name, text, args, fields=()):
    """The array that stands for an exception without attributes, notes, members and cause."""
    return [27, reference, name, text, [1, *args], [4, *fields], [4], [0], [0], None, False]


#: An exception that a function has raised, and the array that stands for it.
RAISED = {
    "builtin": (
        OSError(2, "no"),
        raised(
            "module:builtins:FileNotFoundError",
            "FileNotFoundError",
            "[Errno 2] no",
            [2, "no"],
            ["errno", 2, "strerror", "no"],
        ),
    ),
    "registered": (Broken("x"), raised("type:wire:Broken", f"{__name__}.Broken", "x", ["x"])),
    "of an ORM": (
        peewee.IntegrityError("x"),
        raised("module:peewee:IntegrityError", "peewee.IntegrityError", "x", ["x"]),
    ),
    "of a model": (Note.DoesNotExist("x"), raised(f"peewee:{NOTE}", f"{__name__}.NoteDoesNotExist", "x", ["x"])),
    "remote": (RemoteError("a.B: c", class_name="a.B", text="c"), [28, "a.B", "c", [0], None, False]),
}


@pytest.mark.parametrize("name", NODES)
def test_a_value_is_this_array(name):
    value, node = NODES[name]
    data = encode(value, "it")
    assert msgspec.msgpack.decode(data) == node
    back = decode(msgspec.msgpack.encode(node))
    assert type(back) is type(value)
    assert back == value


@pytest.mark.parametrize("name", RAISED)
def test_an_exception_is_this_array(name):
    error, node = RAISED[name]
    assert msgspec.msgpack.decode(encode_error(error)) == node
    back = decode_error(msgspec.msgpack.encode(node))
    assert type(back) is type(error)
    assert (str(back), back.args, vars(back)) == (str(error), error.args, vars(error))


@pytest.mark.parametrize("kind", [set, frozenset])
def test_equal_sets_are_encoded_alike(kind):
    """The digest of a call's arguments has to be the same in every process."""
    one, other = kind([8, 0, (1,)]), kind([0, 8, (1,)])
    assert list(one) != list(other)
    assert encode(one, "it") == encode(other, "it")
