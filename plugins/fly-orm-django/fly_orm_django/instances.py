"""Django's objects as arguments and results of functions that run on other nodes.

An instance of a model travels as its class and its primary key, and is loaded from the database where it arrives.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.exceptions import MultipleObjectsReturned, ObjectDoesNotExist
from django.db import connections, models, router
from django.db.models.manager import BaseManager
from django.db.models.options import Options
from django.utils.functional import Promise
from django.utils.safestring import SafeString

from fly_orm.adapters.base import CodecError, EncodedInstance, TypeHandler, find_named, wire_name
from fly_orm.errors import NotPortable

from .routed import router_of


class ModelHandler(TypeHandler):
    """The models of the project, by the name ``alias:app_label.Model``."""

    prefix = "django"

    def handles(self, cls: type) -> bool:
        return issubclass(cls, models.Model)

    def encode(self, instance: Any) -> EncodedInstance:
        label = instance._meta.label
        if _model(label) is not type(instance):
            raise NotPortable(f"{label} is not in the registry of applications, such as a model in a migration")
        if instance._state.adding or instance.pk is None:
            raise NotPortable("it was not saved, so that it has no row to be loaded from; call save() first")
        alias = instance._state.db or router.db_for_write(type(instance))
        if router_of(connections[alias]) is None:
            raise NotPortable(f"it is in the database {alias!r}, which fly_orm does not route; pass its values")
        return EncodedInstance(name=f"{alias}:{label}", fields=({"key": instance.pk},))

    def decode(self, encoded: EncodedInstance) -> Any:
        alias, _, label = encoded.name.rpartition(":")
        model = _model(label)
        if model is None or alias not in connections:
            raise CodecError(f"this process has no model {label!r:.200} in a database {alias!r:.100}")
        if len(encoded.fields) != 1 or encoded.fields[0].keys() != {"key"}:
            raise CodecError("an instance of a model consists of its primary key")
        key = encoded.fields[0]["key"]
        try:
            return model._base_manager.using(alias).get(pk=key)
        except (ObjectDoesNotExist, TypeError, ValueError) as error:
            raise CodecError(f"{label} with the primary key {key!r:.100} cannot be loaded: {error}") from error

    def exception_name(self, cls: type[BaseException]) -> str | None:
        if not issubclass(cls, ObjectDoesNotExist | MultipleObjectsReturned):
            return None
        model: Any = find_named(wire_name(cls).rpartition(".")[0])
        meta = getattr(model, "_meta", None)
        if not isinstance(meta, Options):
            return None
        name = f"{meta.label}:{cls.__name__}"
        return name if self.exception_class(name) is cls else None

    def exception_class(self, name: str) -> type | None:
        label, _, attribute = name.rpartition(":")
        found = vars(_model(label) or object).get(attribute)
        return found if isinstance(found, type) else None


class QuerySetHandler(TypeHandler):
    """What stands for rows rather than being some. It does not travel."""

    prefix = "django-rows"

    def handles(self, cls: type) -> bool:
        return issubclass(cls, models.QuerySet | models.query.RawQuerySet | BaseManager)

    def encode(self, instance: Any) -> EncodedInstance:
        raise NotPortable(
            f"a {type(instance).__name__} is a query, which runs where it is used; pass list(…) of it, the primary "
            "keys, or what to filter by"
        )

    def decode(self, encoded: EncodedInstance) -> Any:
        raise CodecError("a query does not travel")


class TextHandler(TypeHandler):
    """Texts of Django's that are not plain ``str``: lazy ones arrive translated, and safe ones are safe."""

    prefix = "django-text"

    def handles(self, cls: type) -> bool:
        return issubclass(cls, Promise | SafeString)

    def encode(self, instance: Any) -> EncodedInstance:
        kind = "safe" if isinstance(instance, SafeString) else "text"
        return EncodedInstance(name=kind, fields=({"text": "".join(str(instance))},))

    def decode(self, encoded: EncodedInstance) -> Any:
        text = encoded.fields[0].get("text") if len(encoded.fields) == 1 else None
        if type(text) is not str:
            raise CodecError("a text of Django's consists of a str")
        return SafeString(text) if encoded.name == "safe" else text


def _model(label: str) -> Any:
    """The model that the registry of applications has under a label; None if it has none."""
    try:
        return apps.get_model(label)
    except (LookupError, ValueError):
        return None
