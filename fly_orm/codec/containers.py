"""Lists, tuples, sets and dicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .errors import CannotEncode, CodecError
from .keys import add_keys
from .nodes import ENCODERS, PLAIN, Decoder, Encoder, from_node, next_depth
from .packing import node_to_bytes
from .tags import DICT, FROZENSET, LIST, SET, TUPLE


def _items_encoder(tag: int) -> Encoder:
    indexed = tag in (LIST, TUPLE)

    def encode_items(values: Iterable[Any], depth: int) -> list[Any]:
        depth = next_depth(depth)
        node: list[Any] = [tag]
        try:
            for value in values:
                cls = type(value)
                node.append(value if cls in PLAIN else ENCODERS[cls](value, depth))
        except CannotEncode as error:
            error.add_step(f"[{len(node) - 1}]" if indexed else " (an item)", values)
            raise
        if not indexed:  # their order may be another one in each process
            node[1:] = sorted(node[1:], key=node_to_bytes)
        return node

    return encode_items


def _items_decoder(make: Callable[[list[Any]], Any]) -> Decoder:
    def decode_items(node: list[Any], depth: int) -> Any:
        del node[0]
        for index, item in enumerate(node):
            if type(item) not in PLAIN:
                node[index] = from_node(item, depth)
        return make(node)

    return decode_items


def _encode_dict(values: dict[Any, Any], depth: int) -> list[Any]:
    depth = next_depth(depth)
    node: list[Any] = [DICT]
    key = None
    try:
        for key, value in values.items():
            cls = type(key)
            node.append(key if cls in PLAIN else ENCODERS[cls](key, depth))
            cls = type(value)
            node.append(value if cls in PLAIN else ENCODERS[cls](value, depth))
    except CannotEncode as error:
        error.add_step(" (a key)" if len(node) % 2 else f"[{key!r:.60}]", values)
        raise
    return node


def _decode_dict(node: list[Any], depth: int) -> dict[Any, Any]:
    if len(node) % 2 == 0:
        raise CodecError("a dict contains a key without a value")
    pairs: list[tuple[Any, Any]] = []
    operands = iter(node)
    next(operands)
    for key, value in zip(operands, operands, strict=True):
        if type(key) not in PLAIN:
            key = from_node(key, depth)
        pairs.append((key, value if type(value) in PLAIN else from_node(value, depth)))
    values: dict[Any, Any] = {}
    add_keys(pairs, values.update)
    return values


def encode_attributes(
    values: Mapping[Any, Any],
    depth: int,
    owner: object,
    drop: Callable[[str, CannotEncode], None] | None = None,
) -> list[Any]:
    """The node of a dict with attributes of ``owner``.

    An attribute that cannot be encoded is left out and reported to ``drop``. Without ``drop`` it raises CannotEncode.
    """
    node: list[Any] = [DICT]
    for name, value in values.items():
        try:
            encoded = value if type(value) in PLAIN else ENCODERS[type(value)](value, depth)
        except CannotEncode as error:
            error.add_step(f".{name}", owner)
            if drop is None or error.too_deep:
                raise
            drop(str(name), error)
        else:
            node += (name, encoded)
    return node


def _itself(items: list[Any]) -> list[Any]:
    return items


def _set(items: list[Any]) -> set[Any]:
    made: set[Any] = set()
    add_keys(items, made.update)
    return made


CONTAINER_ENCODERS: dict[type, Encoder] = {
    list: _items_encoder(LIST),
    tuple: _items_encoder(TUPLE),
    set: _items_encoder(SET),
    frozenset: _items_encoder(FROZENSET),
    dict: _encode_dict,
}
CONTAINER_DECODERS: dict[int, Decoder] = {
    LIST: _items_decoder(_itself),
    TUPLE: _items_decoder(tuple),
    SET: _items_decoder(_set),
    FROZENSET: _items_decoder(lambda items: frozenset(_set(items))),
    DICT: _decode_dict,
}
