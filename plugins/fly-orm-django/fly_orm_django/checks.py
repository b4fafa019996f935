"""What ``manage.py check`` says about fly_orm, without asking a server or a node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.core import checks
from django.db import connections

from fly_orm.findings.finding import Level
from fly_orm.findings.settings import settings_findings
from fly_orm.registry import make_transport
from fly_orm.settings import Settings, misspelt_variables

from .routing import RoutingMixin

_MIDDLEWARE = "fly_orm_django.middleware.TokenMiddleware"


@checks.register  # type: ignore[untyped-decorator]  # Django has no types
def check(app_configs: Any = None, **_: Any) -> list[Any]:
    """Messages about the routed databases, and about the environment that they are routed by."""
    routed = [connection for connection in connections.all() if isinstance(connection, RoutingMixin)]
    regional = [each for each in routed if each.shared.router.settings.topology.primary_region is not None]
    found: list[Any] = []
    if routed and not apps.is_installed("fly_orm_django"):
        found.append(_not_installed())
    for connection in regional:
        found += _about(connection)
    if regional:
        found += _about_environment(regional[0].shared.router.settings)
        if _MIDDLEWARE not in django_settings.MIDDLEWARE:
            found.append(_no_middleware())
    return found


def _not_installed() -> Any:
    return checks.Warning(
        "'fly_orm_django' is the ENGINE of a database, but not among the INSTALLED_APPS",
        hint="Add it. Without it, there are no manage.py fly_orm_serve and fly_orm_check, and a function that is "
        "called before the first query returns before the replica has what it wrote",
        id="fly_orm_django.W001",
    )


def _no_middleware() -> Any:
    return checks.Warning(
        "a user whose next request reaches another region may not see what he has written",
        hint=f"Put {_MIDDLEWARE!r} first into MIDDLEWARE, or silence this check if no user changes regions",
        id="fly_orm_django.W002",
    )


def _about(connection: Any) -> Iterator[Any]:
    given, defers = connection.settings_dict, connection.shared.defers_transactions
    if given["ATOMIC_REQUESTS"] and not defers:
        yield checks.Warning(
            f"every query of a request on {connection.alias!r} is a round trip to the primary region, since "
            "ATOMIC_REQUESTS is on",
            hint='Set "FLY_ORM": {"defer_transactions": True}, after reading what that means for stale reads in '
            "docs/django.md; or turn ATOMIC_REQUESTS off",
            id="fly_orm_django.W003",
        )


def _about_environment(settings: Settings) -> Iterator[Any]:
    """fly_orm's own findings about the settings."""
    is_local = make_transport(settings.transport, settings).is_local
    for finding in settings_findings(settings, is_local, misspelt_variables()):
        if finding.level is Level.ERROR:
            yield checks.Error(finding.message, hint=finding.advice, id="fly_orm_django.E001")
        elif finding.level is Level.WARNING:
            yield checks.Warning(finding.message, hint=finding.advice, id="fly_orm_django.W004")
