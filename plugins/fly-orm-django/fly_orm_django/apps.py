"""The Django application: its checks, its commands, and its routed databases."""

from __future__ import annotations

from django.apps import AppConfig

from fly_orm.adapters.loading import load_adapter

from .routed import routed_aliases


class FlyOrmConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """Prepares the routed databases when the process starts."""

    name = "fly_orm_django"
    verbose_name = "fly_orm"

    def ready(self) -> None:
        """Create the routers, so that functions are called, and settings are found wrong, before the first query."""
        from . import checks  # noqa: F401  # registers them

        load_adapter("django")
        self.routers = routed_aliases()
