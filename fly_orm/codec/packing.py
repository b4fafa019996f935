"""Nodes as MessagePack, and back."""

from __future__ import annotations

from typing import Any

import msgspec

from .scalars import escaped

_encode = msgspec.msgpack.Encoder().encode

#: The node in some bytes. msgspec's errors if there is none.
bytes_to_node = msgspec.msgpack.Decoder().decode


def node_to_bytes(node: Any) -> bytes:
    """The bytes of a node."""
    try:
        return _encode(node)
    except (OverflowError, UnicodeEncodeError):
        return _encode(escaped(node))
