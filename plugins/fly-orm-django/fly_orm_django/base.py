"""``ENGINE = "fly_orm_django"``: Django's backend for PostgreSQL, whose connections are routed."""

from __future__ import annotations

from django.db.backends.postgresql import base

from .routing import RoutingMixin


class DatabaseWrapper(RoutingMixin, base.DatabaseWrapper):  # type: ignore[misc]  # Django has no types
    """What ``django.db.connections`` holds, for each thread one."""
