"""Collections that a library makes of its own classes, as arguments and results of functions."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from ..codec import CodecError, EncodedInstance, TypeHandler


class CollectionHandler(TypeHandler):
    """Lists, sets and dicts of classes of a library's, which arrive as plain ones. Derive from this class.

    Such a class tells an object when what it contains is changed. Where it arrives, there is no such object.
    """

    def encode(self, instance: Any) -> EncodedInstance:
        plain: type = dict if isinstance(instance, Mapping) else set if isinstance(instance, Set) else list
        return EncodedInstance(name=plain.__name__, fields=({"items": plain(instance)},))

    def decode(self, encoded: EncodedInstance) -> Any:
        items = encoded.fields[0].get("items") if len(encoded.fields) == 1 else None
        if type(items) not in (list, set, dict):
            raise CodecError("a collection consists of a list, a set or a dict")
        return items
