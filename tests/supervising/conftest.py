"""A node with workers, for an application of one database."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peewee
import psutil
import pytest

import fly_orm
from fly_orm.testing import Cluster
from tests.support.nodes import NodeProcess, node_process
from tests.support.shared_cluster import drop_database, make_database, restore
from tests.support.two_regions import close, named, settings
from tests.support.worker_processes import APP, until_all_serve, workers_of


@pytest.fixture
def node(cluster: Cluster, database: str, tmp_path: Path) -> Iterator[Callable[..., NodeProcess]]:
    """Starts ``fly-orm serve app:db`` with options, and ends it and its workers."""
    (tmp_path / "app.py").write_text(APP.format(database=database, **cluster.primary.params(database)))
    with ExitStack() as undo:

        def start(*arguments: str, **variables: str) -> NodeProcess:
            started = undo.enter_context(node_process("app:db", *arguments, folder=tmp_path, fresh=True, **variables))
            undo.callback(_kill_workers, started.pid)
            return started

        yield start


def _kill_workers(pid: int) -> None:
    for worker in workers_of(pid) if psutil.pid_exists(pid) else []:
        worker.kill()


@dataclass(frozen=True, kw_only=True)
class Served:
    """A node of two workers that several tests use, one after another."""

    database: str
    address: str


#: How many places that node has.
PLACES = 6


@pytest.fixture(scope="module")
def served(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    restore(cluster)  # this comes before what is done for each test
    folder, database = tmp_path_factory.mktemp("served"), make_database(cluster)
    (folder / "app.py").write_text(APP.format(database=database, **cluster.primary.params(database)))
    options = ("--workers=2", f"--pool-size={PLACES}", f"--peer-leases={PLACES}")
    with node_process("app:db", *options, folder=folder, fresh=True) as started, ExitStack() as undo:
        undo.callback(_kill_workers, started.pid)
        address = started.address()
        until_all_serve(address, 2)
        yield Served(database=database, address=address)
    drop_database(cluster, database)


@pytest.fixture
def lax(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Makes the database as an application in lax has it, with the node at an address."""
    if "served" in request.fixturenames:
        database = request.getfixturevalue("served").database
    else:
        database = request.getfixturevalue("database")
    with ExitStack() as undo:

        def make(address: str, options: Any = None, **changes: Any) -> Any:
            db = peewee.PostgresqlDatabase(**named(cluster.replica, database))
            undo.callback(close, db)
            return fly_orm.wrap(db, settings=settings("lax", address, **changes), **(options or {}))

        yield make
