"""peewee's models as arguments and results of functions that run on other nodes.

An instance travels with what it has loaded: the raw values of its fields, related instances, and what a query has put
beside them under an alias. What ``prefetch`` keeps of the instances that refer to it stays behind, and is queried when
somebody asks for it. Nothing of it is dirty when it arrives.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import peewee

from ...codec import CodecError, Packed, add_family
from ...codec.names import found, wire_name
from ...codec.shapes import check_names
from ...errors import NotPortable

#: What peewee itself keeps on an instance.
_OWN = frozenset({"__data__", "__rel__", "_dirty"})


class PeeweeFamily:
    """The models of this process, by ``module:QualName``."""

    prefix = "peewee"

    def knows(self, cls: type) -> bool:
        return issubclass(cls, peewee.Model) and cls is not peewee.Model

    def pack(self, instance: Any) -> Packed:
        model = type(instance)
        name = wire_name(model)
        if _find(name) is not model:
            raise NotPortable(f"{name} names another model than that of this instance; give one of them another name")
        backrefs = {field.backref for field in model._meta.backrefs}
        extras = {key: value for key, value in vars(instance).items() if key not in _OWN and key not in backrefs}
        return Packed(name=name, fields=(instance.__data__, instance.__rel__), extras=extras)

    def unpack(self, packed: Packed) -> Any:
        model = _find(packed.name)
        if model is None:
            raise CodecError(f"there is no model {packed.name!r:.200} here, or more than one; import its module")
        if len(packed.fields) != 2:
            raise CodecError("an instance of a model has its data and its related instances")
        data, related = (dict(values) for values in packed.fields)
        check_names(packed.name, data.keys() | related.keys(), model._meta.fields, missing=False)
        instance = model.__new__(model)
        vars(instance).update(packed.extras)
        vars(instance).update({"__data__": data, "__rel__": related, "_dirty": set()})
        return instance

    def error_name(self, cls: type[BaseException]) -> str | None:
        if not issubclass(cls, peewee.DoesNotExist):
            return None
        model = next((model for model in _models() if model.DoesNotExist is cls), None)
        return wire_name(model) if model is not None and _find(wire_name(model)) is model else None

    def error_class(self, name: str) -> type | None:
        model = _find(name)
        return None if model is None else model.DoesNotExist


FAMILY = PeeweeFamily()


def install() -> None:
    """Let instances of peewee's models travel. Doing so again changes nothing."""
    add_family(FAMILY)


def _models() -> Iterator[Any]:
    waiting, seen = list(peewee.Model.__subclasses__()), set()
    while waiting:
        model = waiting.pop()
        if model not in seen:
            seen.add(model)
            yield model
            waiting += model.__subclasses__()


def _find(name: str) -> Any:
    """The model of that name: the one that its module has, or else the only one alive; None if there is no such."""
    model = found(*_split(name))
    if isinstance(model, type) and FAMILY.knows(model) and wire_name(model) == name:
        return model
    alive = [model for model in _models() if wire_name(model) == name]
    return alive[0] if len(alive) == 1 else None


def _split(name: str) -> tuple[str, str]:
    module, _, qualname = name.partition(":")
    return module, qualname
