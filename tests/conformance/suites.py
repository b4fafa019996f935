"""The suites that can be run."""

from __future__ import annotations

import importlib
from collections.abc import Set
from dataclasses import dataclass
from typing import Any

from .modes import CONTROL, WRAPPED, Mode


@dataclass(frozen=True, kw_only=True)
class Suite:
    """The test suite of an ORM."""

    package: str
    """The ORM's name on PyPI. The module ``PACKAGE_suite`` knows the suite."""
    variant: str = ""
    """What tells it from another suite of the same ORM."""
    least_ok: int
    """So many tests pass plain, at least: were all to fail, none could be worse."""
    least_selects: int
    """So many SELECTs the replicas have to serve in each wrapped run: were all sent to the primary, all would pass."""
    modes: tuple[Mode, ...] = WRAPPED
    """The wrapped runs."""
    control: Mode = CONTROL
    """The run that has to fail."""
    limits: Set[str] = frozenset()
    """The tests that may be worse, by id. A README says why."""
    database: str = ""
    """The name of its database, if it is always the same."""
    extensions: tuple[str, ...] = ()
    """The extensions that the database has to have."""

    @property
    def name(self) -> str:
        """What the command line calls it."""
        return f"{self.package}-{self.variant}" if self.variant else self.package

    @property
    def module(self) -> Any:
        """The module that knows the suite; imports the ORM."""
        return importlib.import_module(f"{__package__}.{self.package}_suite")

    def database_of(self, mode: Mode) -> str:
        """The name of the database of a run."""
        return self.database or mode.name


PONY = Suite(package="pony", least_ok=3000, least_selects=1000)
PEEWEE = Suite(
    package="peewee",
    least_ok=800,
    least_selects=800,
    modes=tuple(mode for mode in WRAPPED if mode.how == "before"),
    database="peewee_test",
    extensions=("hstore",),
)
_DELAY = 0.01
_DJANGO_MODES = (
    Mode(name="strict", how="strict"),
    Mode(name="deferring", how="deferring"),
    Mode(name="delayed", how="deferring", apply_delay=_DELAY),
)
_DJANGO_CONTROL = Mode(name="no_wait", how="deferring", wait="none", apply_delay=_DELAY)
_UNACCENT = "postgres_tests.test_unaccent.{}.test_unaccent_with_conforming_strings_off"
DJANGO = Suite(
    package="django",
    least_ok=4000,
    least_selects=1000,
    modes=_DJANGO_MODES,
    control=_DJANGO_CONTROL,
    limits=frozenset(_UNACCENT.format(cls) for cls in ("UnaccentTest", "UnaccentTextFieldTest")),
    database="test_default",
    extensions=("btree_gin", "btree_gist", "citext", "hstore", "pg_trgm", "pgcrypto", "unaccent"),
)
DJANGO_COMMITTED = Suite(
    package="django",
    variant="committed",
    least_ok=800,
    least_selects=1500,
    modes=_DJANGO_MODES[1:],
    control=_DJANGO_CONTROL,
    database="test_default",
)
"""Where ``TestCase`` commits, so that reads are not all in the transaction around each test."""
_SQLALCHEMY_MODES = (
    Mode(name="deferring", how="deferring"),
    Mode(name="delayed", how="deferring", apply_delay=_DELAY),
)
SQLALCHEMY = Suite(
    package="sqlalchemy",
    least_ok=1500,
    least_selects=200,
    modes=_SQLALCHEMY_MODES,
    control=_DJANGO_CONTROL,
    extensions=("citext", "hstore"),
)
SQLALCHEMY_ORM = Suite(
    package="sqlalchemy",
    variant="orm",
    least_ok=2900,
    least_selects=2000,
    modes=_SQLALCHEMY_MODES,
    control=_DJANGO_CONTROL,
    extensions=("citext", "hstore"),
)
SUITES = {suite.name: suite for suite in (PONY, PEEWEE, DJANGO, DJANGO_COMMITTED, SQLALCHEMY, SQLALCHEMY_ORM)}
