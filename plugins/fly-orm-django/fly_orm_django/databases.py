"""The databases of a project by their aliases, for the command line: ``fly_orm_django.databases:default``.

Needs ``DJANGO_SETTINGS_MODULE``. ``tests.default`` is the test database of an alias: it leads the alias there, as
Django's test runner does, so that functions use it. ``clones.default_1`` is its first clone, of ``test --parallel``.
``maintenance.default`` is the database ``postgres`` on the same server, from which test databases are created.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import django
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from fly_orm.errors import ConfigurationError

from .wrapped import COMES_LATER


class _Place:
    """Finds databases by attribute."""

    def __init__(self, find: Callable[[str], Any]) -> None:
        self._find = find

    def __getattr__(self, name: str) -> Any:
        return self._find(name)


def _test_database(alias: str) -> Any:
    connection = _database(alias)
    given = connection.settings_dict
    given["NAME"] = given["TEST"]["NAME"] = connection.creation._get_test_db_name()
    given["TEST"][COMES_LATER] = True
    return connection


def _clone(name: str) -> Any:
    alias, _, number = name.rpartition("_")
    connection = _test_database(alias)
    return type(connection)(connection.creation.get_test_db_clone_settings(number), alias)


def _maintenance(alias: str) -> Any:
    connection = _database(alias)
    return type(connection)({**connection.settings_dict, "NAME": None}, alias)


def _database(alias: str) -> Any:
    if alias.startswith("__"):
        raise AttributeError(alias)
    if not apps.ready:
        _set_up()
    if alias not in connections:
        raise AttributeError(f"settings.DATABASES has no {alias!r}")
    return connections[alias]


def _set_up() -> None:
    try:
        settings.INSTALLED_APPS  # noqa: B018  # reads the settings
    except ImproperlyConfigured as error:
        if settings.configured:
            raise
        raise ConfigurationError(
            f"{__name__} needs the settings of the project; set DJANGO_SETTINGS_MODULE, such as to shop.settings, or "
            "run manage.py fly_orm_serve and fly_orm_check"
        ) from error
    django.setup()


_PLACES = {"tests": _Place(_test_database), "clones": _Place(_clone), "maintenance": _Place(_maintenance)}


def __getattr__(name: str) -> Any:
    return _PLACES.get(name) or _database(name)
