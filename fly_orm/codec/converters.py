"""Converters: how instances of a registered class become operands of a node, by the sort of class."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from ..errors import NotPortable
from .errors import CannotEncode, CodecError
from .names import class_name, describe_error
from .nodes import expect, from_node, next_depth, operands, to_node

#: Set on classes that a ``class`` statement made, rather than C code (object.h, Py_TPFLAGS_HEAPTYPE).
_HEAP_TYPE = 1 << 9


#: The most bits that the value of a Flag may have.
MAX_FLAG_BITS = 256
#: Python keeps each combination of the members of a Flag for as long as the process runs: so many are let in.
_MAX_KEPT = 2**16


class Converter(Protocol):
    """Converts the instances of one class."""

    def encode(self, value: Any, depth: int) -> list[Any]:
        """The operands that encode an instance. CannotEncode if there are none."""

    def decode(self, node: list[Any], depth: int) -> Any:
        """The instance. The node begins with the name of the class, followed by the operands."""


class FieldsConverter:
    """Encodes the fields of a dataclass or a namedtuple by name. Both nodes need the same fields, in any order."""

    def __init__(self, cls: type, names: Iterable[str], build: Callable[[Any, list[str], list[Any]], Any]) -> None:
        self._cls = cls
        self._names = list(names)
        self._build = build

    def encode(self, value: Any, depth: int) -> list[Any]:
        depth = next_depth(depth)
        node: list[Any] = []
        name = ""
        try:
            for name in self._names:
                node += (name, to_node(_attribute(value, name), depth))
        except CannotEncode as error:
            error.add_step(f".{name}", value)
            raise
        return node

    def decode(self, node: list[Any], depth: int) -> Any:
        if len(node) % 2 == 0:
            raise CodecError("an object has a field without a value")
        names = [expect(name, str) for name in node[1::2]]
        values = [from_node(part, depth) for part in node[2::2]]
        if names != self._names:
            values = self._in_order(names, values)
        return self._build(self._cls, self._names, values)

    def _in_order(self, names: list[Any], values: list[Any]) -> list[Any]:
        given = dict(zip(names, values, strict=True))
        check_fields(class_name(self._cls), given, self._names)
        if len(names) != len(given):
            raise CodecError(f"a field of {class_name(self._cls)} is given twice")
        return [given[name] for name in self._names]


def check_fields(owner: str, given: Iterable[Any], known: Iterable[str], *, required: bool = True) -> None:
    """CodecError, with their names, if fields were given that are not known, or (if ``required``) the reverse."""
    given, known = set(given), set(known)
    problems = [
        f"{what} {', '.join(sorted(map(str, names)))[:400]}"
        for what, names in (("does not have here", given - known), ("also has here", known - given if required else ()))
        if names
    ]
    if problems:
        raise CodecError(f"{owner} {' and '.join(problems)}; the two nodes run different releases of the application")


def _attribute(value: Any, name: str) -> Any:
    try:
        return getattr(value, name)
    except Exception as error:
        raise CannotEncode(f"it cannot be read ({describe_error(error)}); set it, or pass something else") from error


def _new_dataclass(cls: Any, names: list[str], values: list[Any]) -> Any:
    instance = object.__new__(cls)
    for name, value in zip(names, values, strict=True):
        object.__setattr__(instance, name, value)  # as the generated __init__ of a frozen dataclass does
    return instance


def _new_namedtuple(cls: Any, names: list[str], values: list[Any]) -> Any:
    return tuple.__new__(cls, values)


class EnumConverter:
    """Encodes a member of an Enum by its name."""

    def __init__(self, cls: type[enum.Enum]) -> None:
        self._cls = cls

    def encode(self, value: Any, depth: int) -> list[Any]:
        return [value._name_]

    def decode(self, node: list[Any], depth: int) -> Any:
        name = expect(from_node(operands(node, 1)[0]), str)
        member = self._cls.__members__.get(name)
        if member is None:
            raise CodecError(f"{class_name(self._cls)} has no member {name!r:.60} here")
        return member


class FlagConverter:
    """Encodes a combination of the members of a Flag by its value."""

    def __init__(self, cls: type[enum.Flag]) -> None:
        self._cls = cls

    def encode(self, value: Any, depth: int) -> list[Any]:
        return [value._value_]

    def decode(self, node: list[Any], depth: int) -> Any:
        value = expect(from_node(operands(node, 1)[0]), int)
        if value.bit_length() > MAX_FLAG_BITS:
            raise CodecError(f"a {class_name(self._cls)} has more than {MAX_FLAG_BITS} bits")
        flags = self._member(value)
        if flags._value_ != value:  # some versions of Python drop unknown bits
            raise CodecError(f"{value} is not a value of {self._cls.__name__}")
        return flags

    def _member(self, value: int) -> enum.Flag:
        """The member of that value. An IntFlag does not keep it, or each number that arrives would stay in memory."""
        kept = self._cls._value2member_map_
        before = len(kept)
        if value in kept:
            return self._cls(value)
        if not issubclass(self._cls, int) and before >= _MAX_KEPT:
            raise CodecError(f"{class_name(self._cls)} has had more than {_MAX_KEPT} combinations in this process")
        flags = self._cls(value)
        if issubclass(self._cls, int):  # the members of other classes are equal only if they are the same
            while len(kept) > before:
                kept.popitem()
        return flags


class HookConverter:
    """Encodes what the application's encode hook returns, and passes it to its decode hook."""

    def __init__(self, cls: type, encode: Callable[[Any], Any], decode: Callable[[Any], Any]) -> None:
        self._cls = cls
        self._encode_hook = encode
        self._decode_hook = decode

    def encode(self, value: Any, depth: int) -> list[Any]:
        depth = next_depth(depth)
        try:
            state = self._encode_hook(value)
        except NotPortable as error:
            raise CannotEncode(str(error)) from error
        except Exception as error:
            why = f"the encode hook of {class_name(self._cls)} failed ({describe_error(error)}); fix it"
            raise CannotEncode(why) from error
        try:
            return [to_node(state, depth)]
        except CannotEncode as error:
            error.add_step(" (what its encode hook returned)", value)
            raise

    def decode(self, node: list[Any], depth: int) -> Any:
        return self.decode_state(from_node(operands(node, 1)[0], depth))

    def decode_state(self, state: Any) -> Any:
        """The instance that the decode hook makes of what the encode hook returned."""
        try:
            value = self._decode_hook(state)
        except Exception as error:
            raise CodecError(f"the decode hook of {class_name(self._cls)} failed: {describe_error(error)}") from error
        if not isinstance(value, self._cls):
            raise CodecError(f"the decode hook of {class_name(self._cls)} returned a {class_name(type(value))}")
        return value


def default_converter(cls: Any) -> Converter | None:
    """The converter of a class that needs no hooks. None for a class that needs them, and for exception classes."""
    if issubclass(cls, enum.Flag):
        return FlagConverter(cls)
    if issubclass(cls, enum.Enum):
        return EnumConverter(cls)
    if issubclass(cls, tuple):
        names = getattr(cls, "_fields", None)
        return FieldsConverter(cls, names, _new_namedtuple) if names is not None and hasattr(cls, "_make") else None
    if "__dataclass_fields__" in vars(cls) and all(base.__flags__ & _HEAP_TYPE for base in cls.__mro__[:-1]):
        return FieldsConverter(cls, (field.name for field in dataclasses.fields(cls)), _new_dataclass)
    return None
