"""peewee's own test suite, of a checkout of its repository, since its distributions do not have it."""

from __future__ import annotations

import importlib.util
import os
import sys
import unittest
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import peewee

import fly_orm

#: Names the folder of the checkout. Its tests run against the installed peewee.
FOLDER = "CONFORMANCE_PEEWEE"
#: The name that its tests have given their database.
DATABASE = "peewee_test"
_PACKAGE = "peewee_tests"


def environment(parameters: Mapping[str, Any]) -> dict[str, str]:
    """What a process that runs the suite needs besides the parameters of its database."""
    given = {f"PEEWEE_PSQL_{name.upper()}": str(parameters[name]) for name in ("host", "port", "user")}
    return {"PEEWEE_TEST_BACKEND": "postgres", **given}


def databases(parameters: Mapping[str, Any]) -> list[Any]:
    """The databases to be served."""
    return [peewee.PostgresqlDatabase(**parameters)]


def wrap_all(_how: str, options: Mapping[str, Any]) -> None:
    """From now on, wrap databases on PostgreSQL when they are about to connect for the first time."""
    original = peewee.Database.connect

    def connect(self: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(self, peewee.PostgresqlDatabase) and not hasattr(self, "_fly_orm"):
            fly_orm.wrap(self, **options)
            return self.connect(*args, **kwargs)  # that of its new class
        return original(self, *args, **kwargs)

    peewee.Database.connect = connect


def tests(_variant: str) -> unittest.TestSuite:
    """All of the suite's tests."""
    folder = Path(os.environ[FOLDER]) / "tests"
    # Their package is called ``tests``, and so is the one of this module.
    spec = importlib.util.spec_from_file_location(
        _PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[_PACKAGE] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return unittest.defaultTestLoader.loadTestsFromModule(module)
