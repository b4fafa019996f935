"""Lists, tuples, sets and dicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .kinds import DICT, FROZENSET, LIST, SET, TUPLE
from .tree import PACKERS, PLAIN, Packer, Unpacker, deeper, unpack
from .unsupported import CodecError, Refusal


def _pack_items(kind: int) -> Packer:
    indexed = kind in (LIST, TUPLE)

    def pack_items(values: Iterable[Any], depth: int) -> list[Any]:
        depth = deeper(depth)
        node: list[Any] = [kind]
        try:
            for value in values:
                cls = type(value)
                node.append(value if cls in PLAIN else PACKERS[cls](value, depth))
        except Refusal as refusal:
            refusal.passes(f"[{len(node) - 1}]" if indexed else " (an item)", values)
            raise
        return node

    return pack_items


def _unpack_items(make: Callable[[list[Any]], Any]) -> Unpacker:
    def unpack_items(node: list[Any], depth: int) -> Any:
        del node[0]
        for index, item in enumerate(node):
            if type(item) not in PLAIN:
                node[index] = unpack(item, depth)
        return make(node)

    return unpack_items


def _pack_dict(values: dict[Any, Any], depth: int) -> list[Any]:
    depth = deeper(depth)
    node: list[Any] = [DICT]
    key = None
    try:
        for key, value in values.items():
            cls = type(key)
            node.append(key if cls in PLAIN else PACKERS[cls](key, depth))
            cls = type(value)
            node.append(value if cls in PLAIN else PACKERS[cls](value, depth))
    except Refusal as refusal:
        refusal.passes(" (a key)" if len(node) % 2 else f"[{key!r:.60}]", values)
        raise
    return node


def _unpack_dict(node: list[Any], depth: int) -> dict[Any, Any]:
    if len(node) % 2 == 0:
        raise CodecError("a dict has a key without a value")
    values: dict[Any, Any] = {}
    operands = iter(node)
    next(operands)
    for key, value in zip(operands, operands, strict=True):
        if type(key) not in PLAIN:
            key = unpack(key, depth)
        values[key] = value if type(value) in PLAIN else unpack(value, depth)
    return values


def pack_attributes(
    values: Mapping[Any, Any],
    depth: int,
    holder: object,
    drop: Callable[[str, Refusal], None] | None = None,
) -> list[Any]:
    """A node as of a dict, for attributes of ``holder``. Those that cannot travel are refused, or dropped and told."""
    node: list[Any] = [DICT]
    for name, value in values.items():
        try:
            packed = value if type(value) in PLAIN else PACKERS[type(value)](value, depth)
        except Refusal as refusal:
            refusal.passes(f".{name}", holder)
            if drop is None or refusal.deep:
                raise
            drop(str(name), refusal)
        else:
            node += (name, packed)
    return node


KINDS = {list: LIST, tuple: TUPLE, set: SET, frozenset: FROZENSET}


def _same(items: list[Any]) -> list[Any]:
    return items


CONTAINERS: dict[type, Packer] = {**{cls: _pack_items(kind) for cls, kind in KINDS.items()}, dict: _pack_dict}
CONTENTS: dict[int, Unpacker] = {
    LIST: _unpack_items(_same),
    TUPLE: _unpack_items(tuple),
    SET: _unpack_items(set),
    FROZENSET: _unpack_items(frozenset),
    DICT: _unpack_dict,
}
