"""Pony's own test suite, and the wrapping of every database that it makes on PostgreSQL, without a change to it."""

from __future__ import annotations

import unittest
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pony
from pony import orm
from pony.orm import core
from pony.orm.dbproviders.postgres import PGProvider

import fly_orm

Wrap = Callable[[Any], object]
#: What the suite binds its databases with; it executes the file that ``pony_test_db`` names.
PROVIDER = Path(__file__).with_name("pony_provider.py")


def environment(_parameters: Mapping[str, Any]) -> dict[str, str]:
    """What a process that runs the suite needs besides the parameters of its database."""
    return {"pony_test_db": str(PROVIDER)}


def databases(parameters: Mapping[str, Any]) -> list[Any]:
    """The databases to be served."""
    return [orm.Database(provider="postgres", **parameters)]


def wrap_all(how: str, options: Mapping[str, Any]) -> None:
    """From now on, wrap databases ``before`` or ``after`` they are bound."""
    {"before": _before_bind, "after": _after_bind}[how](partial(fly_orm.wrap, **options))


def tests(_variant: str) -> unittest.TestSuite:
    """All of the suite's tests."""
    packages = Path(pony.__file__).parents[1]
    return unittest.defaultTestLoader.discover(str(packages / "pony/orm/tests"), top_level_dir=str(packages))


def _before_bind(wrap: Wrap) -> None:
    """Wrap databases when they are made."""
    original = core.Database.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self)
        # The suite's own subclass does not connect, and what is bound to SQLite is not the subject.
        if type(self) is core.Database and "sqlite" not in args:
            wrap(self)
        if args or kwargs:
            self.bind(*args, **kwargs)

    core.Database.__init__ = init


def _after_bind(wrap: Wrap) -> None:
    """Wrap databases as soon as they are bound to PostgreSQL."""
    original = core.Database._bind

    def bind(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if type(self.provider) is PGProvider:
            wrap(self)

    core.Database._bind = bind
