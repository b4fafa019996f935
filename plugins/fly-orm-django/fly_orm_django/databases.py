"""The databases of a project by their aliases, for the command line: ``fly_orm_django.databases:default``.

Needs ``DJANGO_SETTINGS_MODULE``. ``tests.default`` is the test database of an alias: it leads the alias there, as
Django's test runner does. ``maintenance.default`` is the database ``postgres`` on the same server, from which test
databases are created.
"""

from __future__ import annotations

from typing import Any

import django
from django.apps import apps
from django.db import connections


class _Tests:
    """The test databases by alias."""

    def __getattr__(self, alias: str) -> Any:
        connection = _connection(alias)
        given = connection.settings_dict
        given["NAME"] = given["TEST"]["NAME"] = connection.creation._get_test_db_name()
        return connection


class _Maintenance:
    """The database ``postgres`` by the alias of another one on its server."""

    def __getattr__(self, alias: str) -> Any:
        connection = _connection(alias)
        return type(connection)({**connection.settings_dict, "NAME": None}, alias)


_PLACES = {"tests": _Tests(), "maintenance": _Maintenance()}


def _connection(alias: str) -> Any:
    if alias.startswith("__"):
        raise AttributeError(alias)
    if not apps.ready:
        django.setup()
    if alias not in connections:
        raise AttributeError(f"settings.DATABASES has no {alias!r}")
    return connections[alias]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return _PLACES[name]
    return _connection(name)
