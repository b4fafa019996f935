"""The suites that can be run."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from .modes import Mode


@dataclass(frozen=True, kw_only=True)
class Suite:
    """The test suite of an ORM."""

    package: str
    """The ORM's name on PyPI. The module ``PACKAGE_suite`` knows the suite."""
    least_ok: int
    """So many tests pass plain, at least: were all to fail, none could be worse."""
    least_selects: int
    """So many SELECTs the replicas have to serve in each wrapped run: were all sent to the primary, all would pass."""
    ways: frozenset[str]
    """The ways of wrapping its databases that differ; see :attr:`Mode.how`."""
    database: str = ""
    """The name of its database, if it is always the same."""
    extensions: tuple[str, ...] = ()
    """The extensions that the database has to have."""

    @property
    def module(self) -> Any:
        """The module that knows the suite; imports the ORM."""
        return importlib.import_module(f"{__package__}.{self.package}_suite")

    def database_of(self, mode: Mode) -> str:
        """The name of the database of a run."""
        return self.database or mode.name


PONY = Suite(package="pony", least_ok=3000, least_selects=1000, ways=frozenset({"before", "after"}))
PEEWEE = Suite(
    package="peewee",
    least_ok=800,
    least_selects=800,
    ways=frozenset({"before"}),
    database="peewee_test",
    extensions=("hstore",),
)
SUITES = {suite.package: suite for suite in (PONY, PEEWEE)}
