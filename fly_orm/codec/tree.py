"""Values as trees of nodes, and back: the dispatch by type and by kind, which the modules beside this one fill."""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType
from typing import Any

from .unsupported import CodecError, Refusal, cannot_travel

#: Makes a node of a value at a depth.
Packer = Callable[[Any, int], list[Any]]
#: Makes a value of a node at a depth.
Unpacker = Callable[[list[Any], int], Any]

#: The types that stand for themselves.
PLAIN = frozenset({NoneType, bool, int, float, str, bytes})
#: How deep values may be nested. Each level takes Python's stack, which the application has used some of.
MAX_DEPTH = 200
#: Nodes such as those of a time zone stand below the innermost value.
_NODE_DEPTH = MAX_DEPTH + 10

#: Find the packer of a type that has none of its own in :data:`PACKERS`.
FINDERS: list[Callable[[type], Packer | None]] = []


class _Packers(dict[type, Packer]):
    def __missing__(self, cls: type) -> Packer:
        for find in FINDERS:
            packer = find(cls)
            if packer is not None:
                return packer
        return _refuse


def _refuse(value: object, depth: int) -> list[Any]:
    raise cannot_travel(value)


PACKERS = _Packers()
UNPACKERS: dict[int, Unpacker] = {}


def pack(value: Any, depth: int = 0) -> Any:
    """The tree that stands for a value; Refusal if there is none."""
    cls = type(value)
    return value if cls in PLAIN else PACKERS[cls](value, depth)


def unpack(node: Any, depth: int = 0) -> Any:
    """The value that a tree stands for. CodecError, or whatever a constructor makes of what the node holds."""
    if type(node) in PLAIN:
        return node
    if type(node) is not list or not node:
        raise CodecError("not what fly_orm encodes: there is a map, an extension or an empty array in it")
    kind = node[0]
    unpacker = UNPACKERS.get(kind) if type(kind) is int else None
    if unpacker is None:
        raise CodecError(f"there is no kind {kind!r:.40}; the node that sent it may have a newer release of fly_orm")
    check_depth(depth)
    return unpacker(node, depth + 1)


def check_depth(depth: int) -> None:
    """CodecError if a node at this depth is too deep."""
    if depth > _NODE_DEPTH:
        raise CodecError("it is nested too deeply")


def deeper(depth: int) -> int:
    """The depth of what a value at ``depth`` holds; Refusal if that is too deep."""
    if depth >= MAX_DEPTH:
        raise Refusal(f"it is nested more than {MAX_DEPTH} levels deep; pass something flatter", deep=True)
    return depth + 1


def operands(node: list[Any], count: int) -> list[Any]:
    """The operands of a node that has ``count`` of them."""
    if len(node) != count + 1:
        raise CodecError(f"a node of kind {node[0]} has {len(node) - 1} operands")
    return node[1:]


def operand(node: list[Any], cls: type) -> Any:
    """The only operand of a node, which is an instance of ``cls``."""
    if len(node) != 2:
        raise CodecError(f"a node of kind {node[0]} has {len(node) - 1} operands")
    return expect(node[1], cls)


def expect(value: Any, cls: type) -> Any:
    """``value``, which is an instance of exactly ``cls``."""
    if type(value) is not cls:
        raise CodecError(f"a {type(value).__name__} stands where a {cls.__name__} belongs")
    return value
