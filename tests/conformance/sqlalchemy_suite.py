"""SQLAlchemy's own tests, of its source distribution: the compliance suite of its dialects, and tests of its ORM."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import pytest

import fly_orm

from .outcomes import ERROR, FAIL, OK, SKIP
from .sources import fetch

#: Names the folder of its sources.
FOLDER = "CONFORMANCE_SQLALCHEMY"
#: What the tests expect to exist (its README.unittests.rst).
_SETUP = "CREATE SCHEMA IF NOT EXISTS test_schema; CREATE SCHEMA IF NOT EXISTS test_schema_2"
_ORM = """
    session transaction unitofwork unitofworkv2 versioning expire lockmode naturalpks cascade merge query
"""
TESTS = {
    "": ["test/dialect/test_suite.py"],
    "orm": [*(f"test/orm/test_{name}.py" for name in _ORM.split()), "test/orm/dml"],
}


def environment(parameters: Mapping[str, Any]) -> dict[str, str]:
    """What a process that runs the suite needs besides the parameters of its database."""
    return {FOLDER: str(fetch("sqlalchemy", version("sqlalchemy"))), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def databases(parameters: Mapping[str, Any]) -> list[Any]:
    """The databases to be served."""
    return [_engine(parameters)]


def wrap_all(_how: str, options: Mapping[str, Any]) -> None:
    """From now on, wrap the engines that are created for PostgreSQL, except those that a test connects by itself."""
    from fly_orm_sqlalchemy.obstacles import why_not_opened_by_dialect
    from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2

    def wrap(_cls: Any, engine: Any) -> None:
        if why_not_opened_by_dialect(engine) is None:
            fly_orm.wrap(engine, **options)

    PGDialect_psycopg2.engine_created = classmethod(wrap)


def tests(variant: str) -> Any:
    """The tests, to be run by SQLAlchemy's plug-in for pytest."""
    return _Tests(TESTS[variant])


class _Tests:
    def __init__(self, paths: list[str]) -> None:
        self._paths = paths

    def run(self, result: Any) -> None:
        os.chdir(os.environ[FOLDER])
        parameters = json.loads(os.environ["CONFORMANCE_DATABASE"])
        engine = _engine(parameters)
        with engine.begin() as connection:
            connection.exec_driver_sql(_SETUP)
        engine.dispose()
        arguments = ["--dburi", _url(parameters), "--maxfail=1000000", "-p", "no:cacheprovider", "-q"]
        pytest.main([*arguments, *self._paths], plugins=[_Noting(result)])


class _Noting:
    """Notes what becomes of each test."""

    def __init__(self, result: Any) -> None:
        self._result = result
        self._session: Any = None

    def pytest_sessionstart(self, session: Any) -> None:
        self._session = session

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "setup":
            self._result.testsRun += 1
        if report.when != "call" and report.passed:
            return
        expected = hasattr(report, "wasxfail")
        bad = FAIL if report.when == "call" else ERROR
        outcome = OK if report.passed or expected else SKIP if report.skipped else bad
        crash = getattr(report.longrepr, "reprcrash", None) if outcome == bad else None
        self._result.note(report.nodeid, outcome, crash.message.splitlines()[0] if crash and crash.message else None)
        if self._result.shouldStop:
            self._session.shouldstop = "enough tests have failed"


def _engine(parameters: Mapping[str, Any]) -> Any:
    from sqlalchemy import create_engine

    return create_engine(_url(parameters))


def _url(parameters: Mapping[str, Any]) -> str:
    from sqlalchemy import URL

    query = {"host": parameters["host"], "port": str(parameters["port"])}
    name, user = parameters["database"], parameters["user"]
    return URL.create("postgresql+psycopg2", username=user, database=name, query=query).render_as_string()
