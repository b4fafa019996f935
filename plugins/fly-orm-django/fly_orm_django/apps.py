"""The Django application: its checks, its commands, and its routed databases."""

from __future__ import annotations

from django.apps import AppConfig
from django.db import connections

from .routing import RoutingMixin


class FlyOrmConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """Prepares the routed databases when the process starts."""

    name = "fly_orm_django"
    verbose_name = "fly_orm"

    def ready(self) -> None:
        """Create the routers, so that functions are called, and settings are found wrong, before the first query."""
        from . import checks  # noqa: F401  # registers them

        for connection in connections.all():
            if isinstance(connection, RoutingMixin):
                connection.shared  # noqa: B018  # creates it
