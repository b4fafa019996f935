"""The Django application: its checks, its commands, and its routed databases."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules

from fly_orm.adapters.base import load_adapter

from .routed import routed_aliases


class FlyOrmConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """Prepares the routed databases when the process starts."""

    name = "fly_orm_django"
    verbose_name = "fly_orm"

    def ready(self) -> None:
        """Create the routers, so that functions can be called, and wrong settings are found, before the first query.

        Each application's module ``fly_orm_functions`` is imported, so that every process knows the functions in it.
        """
        from . import checks  # noqa: F401  # registers them

        load_adapter("django")
        self.routers = routed_aliases()
        autodiscover_modules("fly_orm_functions")
