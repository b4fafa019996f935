"""The classes that class methods are called for, as names of classes that exist on both sides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..errors import NotPortable
from .errors import CodecError, with_codec_errors
from .names import class_name, find_named, how_to_have, wire_name
from .nodes import operand
from .packing import bytes_to_node, node_to_bytes
from .tags import CLASS


def encode_class(cls: type, base: type, name: str) -> bytes:
    """The bytes that name a class, which is ``base`` or a subclass of it. ``name`` says what it is in errors.

    Raises NotPortable for any other class, and for one whose name another subclass has, too: the method could be called
    for the wrong one.
    """
    if base not in _mro(cls):
        raise NotPortable(f"{name}: {class_name(cls)} is not a subclass of {class_name(base)}; pass one", path=name)
    known = wire_name(cls)
    if _find(known, base) is not cls:
        raise NotPortable(
            f"{name}: another subclass of {class_name(base)} is named {class_name(cls)}, too, and the node could not "
            "tell them apart; give each a name of its own",
            path=name,
        )
    return node_to_bytes([CLASS, known])


def decode_class(data: bytes, base: type) -> type:
    """The class that the bytes name: ``base`` or one of its subclasses in this process.

    Nothing is imported, and no other class can be reached. CodecError if there is no such class.
    """
    name = with_codec_errors(lambda: _name(data, base))
    found = _find(name, base)
    if found is None:
        raise CodecError(
            f"this process has no class {name!r:.200} that is {class_name(base)} or a subclass of it, or has several. "
            f"Nothing was executed; {how_to_have(name)}"
        )
    return found


def refuse_class(_node: list[Any], _depth: int) -> Any:
    """Raise CodecError for a class in place of another value."""
    raise CodecError("a class was sent, which only a class method can be called for")


def _name(data: bytes, base: type) -> str:
    node = bytes_to_node(data)
    if type(node) is not list or node[:1] != [CLASS]:
        raise CodecError(f"its first argument has to be {class_name(base)} or a subclass of it, and is not a class")
    return str(operand(node, str))


def _mro(cls: type) -> tuple[type, ...]:
    """The class and its bases, whatever its metaclass says."""
    bases: tuple[type, ...] = type.__dict__["__mro__"].__get__(cls)
    return bases


def _find(name: str, base: type) -> type | None:
    """The class below ``base`` that has a name on the wire. None if there is none, or it is not clear which one.

    Modules that are reloaded leave old classes behind, and so do decorators that return another class. Then it is the
    one that its module has now.
    """
    found = [cls for cls in _with_subclasses(base) if wire_name(cls) == name]
    if len(found) == 1:
        return found[0]
    current = find_named(name)
    return next((cls for cls in found if cls is current), None)


def _with_subclasses(base: type) -> Iterator[type]:
    """The class, and each of its subclasses once."""
    seen = {base}
    pending = [base]
    while pending:
        cls = pending.pop()
        yield cls
        subclasses: list[type] = type.__subclasses__(cls)
        new = set(subclasses) - seen
        seen |= new
        pending += new
