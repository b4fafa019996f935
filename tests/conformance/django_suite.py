"""Django's own test suite, of its source distribution, which is fetched when it is needed."""

from __future__ import annotations

import os
import sys
import tempfile
import unittest
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import peewee

import fly_orm

from .sources import fetch

#: Names the folder of its tests.
FOLDER = "CONFORMANCE_DJANGO"
#: What the suite creates from, and what it creates.
_DATABASES = ("postgres", "test_default", "test_other")
#: The applications of tests that are about databases.
_MAIN = """
    basic transactions transaction_hooks queries aggregation expressions lookup select_for_update get_or_create
    bulk_create update delete backends migrations postgres_tests many_to_many model_fields constraints db_functions
    schema introspection raw_query multiple_database test_utils
"""
#: Those of them that do not rely on TestCase to roll back.
_COMMITTED = """
    basic queries aggregation expressions lookup get_or_create bulk_create update delete many_to_many raw_query
    select_for_update
"""
LABELS = {"": _MAIN.split(), "committed": _COMMITTED.split()}
#: Empties tables. Django truncates all of them after each test, which makes new files for each table on every server.
_EMPTY = """
DO $$
DECLARE
    name text; found boolean; filled text[];
BEGIN
    FOREACH name IN ARRAY ARRAY[{tables}] LOOP
        EXECUTE 'SELECT EXISTS (SELECT FROM ' || name || ')' INTO found;
        IF found THEN filled := filled || name; END IF;
    END LOOP;
    IF filled IS NOT NULL THEN EXECUTE 'TRUNCATE ' || array_to_string(filled, ', ') || ' CASCADE'; END IF;
END $$
"""


def environment(_parameters: Mapping[str, Any]) -> dict[str, str]:
    """What a process that runs the suite needs besides the parameters of its database."""
    folder = fetch("django", version("django"))
    return {FOLDER: str(folder / "tests"), "DJANGO_SETTINGS_MODULE": f"{__package__}.django_settings"}


def databases(parameters: Mapping[str, Any]) -> list[Any]:
    """The databases to be served, some of which do not exist yet."""
    return [peewee.PostgresqlDatabase(**{**parameters, "database": name}) for name in _DATABASES]


def wrap_all(how: str, options: Mapping[str, Any]) -> None:
    """From now on, use the backend of fly_orm."""
    from django.conf import settings

    for given in settings.DATABASES.values():
        given["ENGINE"] = "fly_orm_django"
        given["FLY_ORM"] = {**options, "defer_transactions": how == "deferring"}


def tests(variant: str) -> unittest.TestSuite:
    """The suite's tests that are about databases."""
    folder = os.environ[FOLDER]
    sys.path.insert(0, folder)
    tempfile.tempdir = os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="django_")  # as it does when it is started
    import runtests  # type: ignore[import-not-found]  # of the sources

    labels, _ = runtests.setup_run_tests(0, None, None, LABELS[variant])
    if variant == "committed":
        _commit()
    return _InTestDatabases(labels)


def _commit() -> None:
    """Let ``TestCase`` commit, and empty the tables afterwards, which the control waits for, too."""
    from django.db.backends.postgresql.operations import DatabaseOperations
    from django.test import TestCase, TransactionTestCase

    TestCase._databases_support_transactions = classmethod(lambda cls: False)
    TransactionTestCase._fixture_teardown = fly_orm.wait_for("write")(TransactionTestCase._fixture_teardown)
    original = DatabaseOperations.sql_flush

    def sql_flush(self: Any, style: Any, tables: Any, **options: Any) -> Any:
        if not tables or options.get("reset_sequences"):
            return original(self, style, tables, **options)
        return [_EMPTY.format(tables=", ".join(f"'{self.quote_name(table)}'" for table in tables))]

    DatabaseOperations.sql_flush = sql_flush


class _InTestDatabases(unittest.TestSuite):
    """Creates the databases around the tests, as Django's runner does."""

    def __init__(self, labels: list[str]) -> None:
        super().__init__()
        self._labels = labels

    def run(self, result: unittest.TestResult, debug: bool = False) -> unittest.TestResult:
        from django.test.runner import DiscoverRunner

        runner = DiscoverRunner(verbosity=0, interactive=False)
        runner.setup_test_environment()
        suite = runner.build_suite(self._labels)
        aliases = runner.get_databases(suite)
        serialized = {alias for alias, serialize in aliases.items() if serialize}
        with fly_orm.wait_for("write"):  # the control, too, which is about the tests
            old = runner.setup_databases(aliases=aliases, serialized_aliases=serialized)
        suite.run(result)
        runner.teardown_databases(old)
        return result
