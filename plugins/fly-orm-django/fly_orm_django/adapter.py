"""Lets fly_orm route the connections of Django, and know its models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.connection import ConnectionProxy

from fly_orm.adapters.base import Adapter, Options, Router, TypeHandler
from fly_orm.errors import ConfigurationError, NotSupported

from . import validation
from .instances import ModelHandler, QuerySetHandler, TextHandler
from .routed import factory_of, router_of
from .routing import RoutingMixin
from .shared import known_to, share
from .wrapped import WrappedDjango


class DjangoAdapter(Adapter):
    """Takes what ``django.db.connections`` holds. The backend wraps itself, with the options in ``DATABASES``."""

    def __init__(self) -> None:
        validation.register()

    def wrap(self, database: Any, options: Options) -> Any:
        wrapper = _wrapper_of(database)
        if not isinstance(wrapper, BaseDatabaseWrapper):
            raise ConfigurationError(_no_connection(database))
        if factory_of(wrapper) is not None:
            return database
        if not isinstance(wrapper, RoutingMixin):
            if options.settings.topology.is_primary or options.settings.topology.primary_region is None:
                return database
            raise NotSupported(self.why_unrouted(database))
        if options.on_lag == "raise":
            raise ConfigurationError(
                'on_lag="raise" would make Django drop the on_commit() hooks of a transaction that is committed; leave '
                'it at on_lag="primary"'
            )
        if known_to(wrapper) is None:
            share(wrapper, Router(WrappedDjango(wrapper), options))
        return database

    def router_of(self, database: Any) -> Router | None:
        return router_of(_wrapper_of(database))

    def why_unrouted(self, database: Any) -> str:
        wrapper = _wrapper_of(database)
        if not isinstance(wrapper, BaseDatabaseWrapper):
            return _no_connection(database)
        alias, engine = getattr(wrapper, "alias", "?"), getattr(wrapper, "settings_dict", {}).get("ENGINE", "?")
        return (
            f"the ENGINE of settings.DATABASES[{alias!r}] is {engine!r}, whose connections fly_orm does not route; for "
            "PostgreSQL, set it to 'fly_orm_django'"
        )

    def type_handlers(self) -> Sequence[TypeHandler]:
        return ModelHandler(), QuerySetHandler(), TextHandler()

    def exception_packages(self) -> Sequence[str]:
        return ("django",)


def _no_connection(given: Any) -> str:
    return (
        f"wrap() takes django.db.connection, or one of django.db.connections, and not {given!r:.200}. With the ENGINE "
        "'fly_orm_django' in settings.DATABASES, nothing has to be wrapped"
    )


def _wrapper_of(database: Any) -> Any:
    """The ``DatabaseWrapper`` of the calling thread that ``django.db.connection`` stands for, or what was given."""
    return connections[database.alias] if isinstance(database, ConnectionProxy) else database
