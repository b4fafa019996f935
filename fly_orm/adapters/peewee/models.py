"""peewee's model instances as arguments and results of functions that run on other nodes.

An instance travels with everything that it has loaded: the raw values of its fields, related instances, and the
attributes that a query added under an alias. Instances that ``prefetch`` attached through a backref stay behind, and
are queried when they are accessed. When it arrives, no field is dirty.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import peewee

from ...codec.names import how_to_have
from ...errors import NotPortable
from ..base import CodecError, EncodedInstance, TypeHandler, check_fields, find_named, wire_name

#: The attributes of an instance that are peewee's own.
_OWN = frozenset({"__data__", "__rel__", "_dirty"})


class ModelHandler(TypeHandler):
    """The models of this process, by the name ``module:QualName``."""

    prefix = "peewee"

    def handles(self, cls: type) -> bool:
        return _is_model(cls)

    def encode(self, instance: Any) -> EncodedInstance:
        model = type(instance)
        name = wire_name(model)
        if _find(name) is not model:
            raise NotPortable(f"the name {name} is taken by another model than this instance's; rename one of them")
        backrefs = {field.backref for field in model._meta.backrefs}
        extras = {key: value for key, value in vars(instance).items() if key not in _OWN and key not in backrefs}
        return EncodedInstance(name=name, fields=(instance.__data__, instance.__rel__), extras=extras)

    def decode(self, encoded: EncodedInstance) -> Any:
        model = _find(encoded.name)
        if model is None:
            raise CodecError(
                f"this process has no model {encoded.name!r:.200}, or more than one; {how_to_have(encoded.name)}"
            )
        if len(encoded.fields) != 2:
            raise CodecError("a model instance consists of its data and its related instances")
        data, related = (dict(values) for values in encoded.fields)
        check_fields(encoded.name, data.keys() | related.keys(), model._meta.fields, required=False)
        instance = model.__new__(model)
        vars(instance).update(encoded.extras)
        vars(instance).update({"__data__": data, "__rel__": related, "_dirty": set()})
        return instance

    def exception_name(self, cls: type[BaseException]) -> str | None:
        if not issubclass(cls, peewee.DoesNotExist):
            return None
        model = next((model for model in _models() if model.DoesNotExist is cls), None)
        return wire_name(model) if model is not None and _find(wire_name(model)) is model else None

    def exception_class(self, name: str) -> type | None:
        model = _find(name)
        return None if model is None else model.DoesNotExist


def _is_model(cls: type) -> bool:
    return issubclass(cls, peewee.Model) and cls is not peewee.Model


def _models() -> Iterator[Any]:
    waiting, seen = list(peewee.Model.__subclasses__()), set()
    while waiting:
        model = waiting.pop()
        if model not in seen:
            seen.add(model)
            yield model
            waiting += model.__subclasses__()


def _find(name: str) -> Any:
    """The model of that name: the one that its module contains, or else the only one in memory; None otherwise."""
    model = find_named(name)
    if isinstance(model, type) and _is_model(model) and wire_name(model) == name:
        return model
    alive = [model for model in _models() if wire_name(model) == name]
    return alive[0] if len(alive) == 1 else None
