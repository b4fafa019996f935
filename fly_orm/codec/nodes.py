"""Values as nodes, and back: finds the encoder for a type and the decoder for a tag. Other modules register theirs."""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType
from typing import Any

from .errors import CannotEncode, CodecError, unsupported_type

#: Turns a value at a depth into a node.
Encoder = Callable[[Any, int], list[Any]]
#: Turns a node at a depth into a value.
Decoder = Callable[[list[Any], int], Any]

#: The types whose values stand for themselves.
PLAIN = frozenset({NoneType, bool, int, float, str, bytes})
#: How deep values may be nested. Each level uses Python's stack, of which the application has already used some.
MAX_DEPTH = 200
#: Some nodes, such as those of time zones, are nested in the innermost value.
_MAX_NODE_DEPTH = MAX_DEPTH + 10

#: Each returns the encoder for a type that has none in :data:`ENCODERS`, or None.
ENCODER_FINDERS: list[Callable[[type], Encoder | None]] = []


class _Encoders(dict[type, Encoder]):
    def __missing__(self, cls: type) -> Encoder:
        for find in ENCODER_FINDERS:
            encoder = find(cls)
            if encoder is not None:
                return encoder
        return _refuse


def _refuse(value: object, depth: int) -> list[Any]:
    raise unsupported_type(value)


ENCODERS = _Encoders()
DECODERS: dict[int, Decoder] = {}


def to_node(value: Any, depth: int = 0) -> Any:
    """The node, or the plain value, that encodes a value. CannotEncode if there is none."""
    cls = type(value)
    return value if cls in PLAIN else ENCODERS[cls](value, depth)


def from_node(node: Any, depth: int = 0) -> Any:
    """The value that a node encodes. CodecError, or whatever a constructor raises for the operands of the node."""
    if type(node) in PLAIN:
        return node
    if type(node) is not list or not node:
        raise CodecError("these bytes were not encoded by fly_orm: they contain a map, an extension or an empty array")
    tag = node[0]
    decoder = DECODERS.get(tag) if type(tag) is int else None
    if decoder is None:
        raise CodecError(f"unknown tag {tag!r:.40}; the node that sent it may run a newer release of fly_orm")
    check_depth(depth)
    return decoder(node, depth + 1)


def check_depth(depth: int) -> None:
    """CodecError if a node at this depth is nested too deeply."""
    if depth > _MAX_NODE_DEPTH:
        raise CodecError("the value is nested too deeply")


def next_depth(depth: int) -> int:
    """The depth of the items of a container at ``depth``. CannotEncode if that is too deep."""
    if depth >= MAX_DEPTH:
        raise CannotEncode(f"it is nested more than {MAX_DEPTH} levels deep; pass something flatter", too_deep=True)
    return depth + 1


def operands(node: list[Any], count: int) -> list[Any]:
    """The operands of a node. CodecError unless there are ``count`` of them."""
    if len(node) != count + 1:
        raise CodecError(f"a node with tag {node[0]} has {len(node) - 1} operands")
    return node[1:]


def operand(node: list[Any], cls: type) -> Any:
    """The only operand of a node. CodecError unless it is an instance of exactly ``cls``."""
    if len(node) != 2:
        raise CodecError(f"a node with tag {node[0]} has {len(node) - 1} operands")
    return expect(node[1], cls)


def short_text(node: list[Any], most: int) -> str:
    """The only operand of a node. CodecError unless it is a str of at most ``most`` characters."""
    text: str = operand(node, str)
    if len(text) > most:
        raise CodecError(f"a node with tag {node[0]} has a text of {len(text)} characters, and {most} are allowed")
    return text


def expect(value: Any, cls: type) -> Any:
    """The value itself. CodecError unless it is an instance of exactly ``cls``."""
    if type(value) is not cls:
        raise CodecError(f"expected a {cls.__name__}, got a {type(value).__name__}")
    return value
