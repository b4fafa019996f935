"""What stands for an instance of a registered class, by the kind of class."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from ..errors import NotPortable
from .names import class_name, described
from .tree import deeper, expect, operands, pack, unpack
from .unsupported import CodecError, Refusal

#: A class that is made by a ``class`` statement, not in C (object.h, Py_TPFLAGS_HEAPTYPE).
_HEAP_TYPE = 1 << 9


class Shape(Protocol):
    """How instances of a class travel. Operands are trees."""

    def pack(self, value: Any, depth: int) -> list[Any]:
        """The operands that stand for an instance; Refusal if it cannot travel."""

    def unpack(self, node: list[Any], depth: int) -> Any:
        """The instance, of a node that begins with the class and goes on with the operands."""


class Fields:
    """By the names of fields, which both ends have to agree on."""

    def __init__(self, cls: type, names: Iterable[str], build: Callable[[Any, list[str], list[Any]], Any]) -> None:
        self._cls = cls
        self._names = list(names)
        self._build = build

    def pack(self, value: Any, depth: int) -> list[Any]:
        depth = deeper(depth)
        node: list[Any] = []
        name = ""
        try:
            for name in self._names:
                node += (name, pack(_attribute(value, name), depth))
        except Refusal as refusal:
            refusal.passes(f".{name}", value)
            raise
        return node

    def unpack(self, node: list[Any], depth: int) -> Any:
        if len(node) % 2 == 0:
            raise CodecError("an object has a field without a value")
        names = node[1::2]
        values = [unpack(part, depth) for part in node[2::2]]
        if names != self._names:
            values = self._in_order(names, values)
        return self._build(self._cls, self._names, values)

    def _in_order(self, names: list[Any], values: list[Any]) -> list[Any]:
        given = dict(zip(names, values, strict=True))
        check_names(class_name(self._cls), given, self._names)
        if len(names) != len(given):
            raise CodecError(f"a field of {class_name(self._cls)} is given twice")
        return [given[name] for name in self._names]


def check_names(owner: str, given: Iterable[Any], known: Iterable[str], *, missing: bool = True) -> None:
    """CodecError, naming them, if fields are unknown here, or (with ``missing``) not given."""
    given, known = set(given), set(known)
    problems = [
        f"{what} {', '.join(sorted(map(str, names)))[:400]}"
        for what, names in (("does not have here", given - known), ("also has here", known - given if missing else ()))
        if names
    ]
    if problems:
        raise CodecError(f"{owner} {' and '.join(problems)}; the two nodes run different releases of the application")


def _attribute(value: Any, name: str) -> Any:
    try:
        return getattr(value, name)
    except Exception as error:
        raise Refusal(f"it cannot be read ({described(error)}); set it, or pass something else") from error


def _make_dataclass(cls: Any, names: list[str], values: list[Any]) -> Any:
    instance = object.__new__(cls)
    for name, value in zip(names, values, strict=True):
        object.__setattr__(instance, name, value)  # as a frozen one's own __init__ does
    return instance


def _make_tuple(cls: Any, names: list[str], values: list[Any]) -> Any:
    return tuple.__new__(cls, values)


class Members:
    """An enum's members, by their names."""

    def __init__(self, cls: type[enum.Enum]) -> None:
        self._cls = cls

    def pack(self, value: Any, depth: int) -> list[Any]:
        return [value._name_]

    def unpack(self, node: list[Any], depth: int) -> Any:
        name = expect(unpack(operands(node, 1)[0]), str)
        member = self._cls.__members__.get(name)
        if member is None:
            raise CodecError(f"{class_name(self._cls)} has no member {name!r:.60} here")
        return member


class Flags:
    """Combinations of flags, by their values."""

    def __init__(self, cls: type[enum.Flag]) -> None:
        self._cls = cls

    def pack(self, value: Any, depth: int) -> list[Any]:
        return [value._value_]

    def unpack(self, node: list[Any], depth: int) -> Any:
        value = expect(unpack(operands(node, 1)[0]), int)
        made = self._cls(value)
        if made._value_ != value:  # some versions of Python drop the bits that the class has not
            raise CodecError(f"{value} is no {self._cls.__name__}")
        return made


class Hooks:
    """By two functions of the application's."""

    def __init__(self, cls: type, encode: Callable[[Any], Any], decode: Callable[[Any], Any]) -> None:
        self._cls = cls
        self._encode = encode
        self._decode = decode

    def pack(self, value: Any, depth: int) -> list[Any]:
        depth = deeper(depth)
        try:
            state = self._encode(value)
        except NotPortable as error:
            raise Refusal(str(error)) from error
        except Exception as error:
            raise Refusal(f"the encode hook of {class_name(self._cls)} failed ({described(error)}); mend it") from error
        try:
            return [pack(state, depth)]
        except Refusal as refusal:
            refusal.passes(" (what its encode hook returned)", value)
            raise

    def unpack(self, node: list[Any], depth: int) -> Any:
        return self.made(unpack(operands(node, 1)[0], depth))

    def made(self, state: Any) -> Any:
        """The instance that the decode hook makes of what the encode hook returned."""
        try:
            value = self._decode(state)
        except Exception as error:
            raise CodecError(f"the decode hook of {class_name(self._cls)} failed: {described(error)}") from error
        if not isinstance(value, self._cls):
            raise CodecError(f"the decode hook of {class_name(self._cls)} returned a {class_name(type(value))}")
        return value


def shape_of(cls: Any) -> Shape | None:
    """The shape of a class that needs no hooks; None if it needs some, or is an exception class."""
    if issubclass(cls, enum.Flag):
        return Flags(cls)
    if issubclass(cls, enum.Enum):
        return Members(cls)
    if issubclass(cls, tuple):
        names = getattr(cls, "_fields", None)
        return Fields(cls, names, _make_tuple) if names is not None and hasattr(cls, "_make") else None
    if "__dataclass_fields__" in vars(cls) and all(base.__flags__ & _HEAP_TYPE for base in cls.__mro__[:-1]):
        return Fields(cls, (field.name for field in dataclasses.fields(cls)), _make_dataclass)
    return None
