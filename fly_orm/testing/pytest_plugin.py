"""The plug-in for pytest: an application's tests run in ``lax``, with the primary and a node in ``syd``.

pytest loads it wherever fly_orm is installed. It does nothing unless ``fly_orm_databases`` is set in pytest's
configuration, or a test asks for one of its fixtures.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .cluster import Cluster
    from .two_regions import TwoRegions

_OPTIONS = {
    "fly_orm_databases": (
        "what the node serves, such as shop.app:db; the tests then run in a secondary region",
        "args",
    ),
    "fly_orm_rtt": ("seconds that a round trip between the regions takes (default: 0)", "string"),
    "fly_orm_replicas": ("how many replicas the secondary region has (default: 1)", "string"),
    "fly_orm_variable": ("the variable that tells the application its URL (default: DATABASE_URL)", "string"),
}
#: What the variables lead to where no test runs: in the main process of pytest-xdist, and for ``--collect-only``.
_NOWHERE = {"PRIMARY_REGION": "syd", "FLY_REGION": "lax", "FLY_ORM_NODES": "syd=127.0.0.1:1"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options of pytest's configuration file."""
    for name, (meaning, kind) in _OPTIONS.items():
        parser.addini(name, meaning, type=kind, default=[] if kind == "args" else "")  # type: ignore[arg-type]


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Start the regions before anything of the application is imported, which may look at the environment then."""
    databases = early_config.getini("fly_orm_databases")
    if not databases:
        return
    undo = ExitStack()
    early_config.add_cleanup(undo.close)
    early_config.stash[_REGIONS] = _start(early_config, databases, undo)


_REGIONS = pytest.StashKey["TwoRegions | None"]()


def _start(config: pytest.Config, databases: list[str], undo: ExitStack) -> TwoRegions | None:
    from .environment import finding, replaced
    from .purpose import distributes, shows_only
    from .two_regions import TwoRegions

    variable = config.getini("fly_orm_variable") or "DATABASE_URL"
    if shows_only(config.known_args_namespace) or distributes(config.known_args_namespace):
        undo.enter_context(replaced({**_NOWHERE, variable: "postgresql://postgres@127.0.0.1:1/test"}))
        return None
    try:
        rtt = float(config.getini("fly_orm_rtt") or 0)
        replicas = int(config.getini("fly_orm_replicas") or 1)
    except ValueError as error:
        raise pytest.UsageError(f"fly_orm_rtt and fly_orm_replicas are numbers: {error}") from None
    try:
        with replaced(finding(_python_path(config))):
            both = TwoRegions(*databases, rtt=rtt, replicas=replicas, variable=variable, folder=config.rootpath)
    except Exception as error:
        raise pytest.UsageError(f"fly_orm: {error}") from error
    undo.enter_context(both)
    undo.enter_context(replaced(both.environment()))
    return both


def _python_path(config: pytest.Config) -> list[str]:
    """Where the tests find modules, which the node has to find, too."""
    try:
        return [str(path) for path in config.getini("pythonpath")]
    except ValueError:  # a pytest whose plug-in for this option is switched off
        return []


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """UsageError if the tests are to run in this process after all, which has no regions."""
    from .purpose import shows_only

    config = session.config
    if config.stash.get(_REGIONS, True) is not None or shows_only(config.option):
        return
    if not config.pluginmanager.hasplugin("dsession"):
        raise pytest.UsageError(
            "fly_orm: the tests were expected to run in other processes, as by -n auto, and have no regions in this "
            "one; say -n 0 on the command line"
        )


@pytest.fixture(scope="session")
def fly_orm_regions(request: pytest.FixtureRequest) -> Iterator[TwoRegions]:
    """The two regions of the whole run: those of ``fly_orm_databases``, or else with a node that only serves them."""
    from .two_regions import TwoRegions

    given = request.config.stash.get(_REGIONS, None)
    if given is not None:
        yield given
        return
    with TwoRegions(folder=Path(request.config.rootpath)) as both:
        yield both


@pytest.fixture(scope="session")
def fly_orm_cluster(fly_orm_regions: TwoRegions) -> Cluster:
    """The Postgres servers of both regions."""
    return fly_orm_regions.cluster


@pytest.fixture
def fly_orm_reset(fly_orm_regions: TwoRegions) -> None:
    """Empty all tables before the test. For all tests: ``usefixtures = fly_orm_reset`` in pytest's configuration."""
    fly_orm_regions.reset()
