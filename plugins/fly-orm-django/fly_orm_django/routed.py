"""Which databases of the project are routed, by the backend or by a connection factory."""

from __future__ import annotations

from typing import Any

from django.db import connections
from psycopg2 import extensions as ext

from fly_orm.adapters.base import ConnectionFactory, Router

from .routing import RoutingMixin

#: Parameters of ``psycopg2.connect`` that are not part of a connection string.
_FACTORIES = ("connection_factory", "cursor_factory")


def router_of(wrapper: Any) -> Router | None:
    """The router of a ``DatabaseWrapper``; None if its connections are not routed."""
    if isinstance(wrapper, RoutingMixin):
        return wrapper.shared.router
    factory = factory_of(wrapper)
    if factory is None:
        return None
    parameters = wrapper.get_connection_params()
    return factory.router(ext.make_dsn(**{name: parameters[name] for name in parameters if name not in _FACTORIES}))


def factory_of(wrapper: Any) -> ConnectionFactory | None:
    """The :func:`fly_orm.connection_factory` among the OPTIONS of a database, if there is one."""
    factory = getattr(wrapper, "settings_dict", {}).get("OPTIONS", {}).get("connection_factory")
    return factory if isinstance(factory, ConnectionFactory) else None


def routed_aliases() -> dict[str, Router]:
    """By alias, the routers of the databases that are routed."""
    found = {alias: router_of(connections[alias]) for alias in connections}
    return {alias: router for alias, router in found.items() if router is not None}
