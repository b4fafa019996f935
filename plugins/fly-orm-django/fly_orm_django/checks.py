"""What ``manage.py check`` says about fly_orm, without asking a server or a node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.core import checks
from django.db import connections
from django.db.backends.postgresql.psycopg_any import is_psycopg3

from fly_orm.checking import Level, environment_findings
from fly_orm.settings import Settings

from .routed import factory_of, routed_aliases
from .routing import PSYCOPG_3

_ID = "fly_orm_django"
_MIDDLEWARE = "fly_orm_django.middleware.TokenMiddleware"


@checks.register  # type: ignore[untyped-decorator]  # Django has no types
def check(app_configs: Any = None, **_: Any) -> list[Any]:
    """Messages about the routed databases, and about the environment that they are routed by."""
    found: list[Any] = []
    if is_psycopg3 and any(factory_of(connection) is not None for connection in connections.all()):
        found.append(checks.Error("a connection_factory of fly_orm needs psycopg2", hint=PSYCOPG_3, id=f"{_ID}.E002"))
        return found
    routers = routed_aliases()
    if routers and not apps.is_installed("fly_orm_django"):
        found.append(_not_installed())
    regional = {
        alias: router for alias, router in routers.items() if router.settings.topology.primary_region is not None
    }
    for alias in regional:
        found += _about(connections[alias])
    if regional:
        found += _about_environment(next(iter(regional.values())).settings)
        if _MIDDLEWARE not in django_settings.MIDDLEWARE:
            found.append(_no_middleware())
    return found


def _not_installed() -> Any:
    return checks.Warning(
        "'fly_orm_django' is the ENGINE of a database, but not among the INSTALLED_APPS",
        hint="Add it. Without it, there are no manage.py fly_orm_serve and fly_orm_check, and a function that is "
        "called before the first query returns before the replica has what it wrote",
        id=f"{_ID}.W001",
    )


def _no_middleware() -> Any:
    return checks.Warning(
        "a user whose next request reaches another region may not see what he has written",
        hint=f"Put {_MIDDLEWARE!r} first into MIDDLEWARE, or silence this check if no user changes regions",
        id=f"{_ID}.W002",
    )


def _about(connection: Any) -> Iterator[Any]:
    factory = factory_of(connection)
    defers = connection.shared.defers_transactions if factory is None else factory.defers_transactions
    if connection.settings_dict["ATOMIC_REQUESTS"] and not defers:
        yield checks.Warning(
            f"every query of a request on {connection.alias!r} is a round trip to the primary region, since "
            "ATOMIC_REQUESTS is on",
            hint='Set "FLY_ORM": {"defer_transactions": True}, after reading in docs/django.md what that means for '
            "stale reads; or turn ATOMIC_REQUESTS off",
            id=f"{_ID}.W003",
        )


def _about_environment(settings: Settings) -> Iterator[Any]:
    """fly_orm's own findings about the settings."""
    for finding in environment_findings(settings):
        if finding.level is Level.ERROR:
            yield checks.Error(finding.message, hint=finding.advice, id=f"{_ID}.E001")
        elif finding.level is Level.WARNING:
            yield checks.Warning(finding.message, hint=finding.advice, id=f"{_ID}.W004")
