"""With a ledger and a second node, no fault at any moment leaves open what became of an operation."""

from __future__ import annotations

import itertools
import tempfile
from contextlib import ExitStack
from pathlib import Path

import peewee
import pytest

import fly_orm
from fly_orm.ledger.table import create_sql
from fly_orm.runtime.runtime import use_runtime
from fly_orm.topology import Node
from tests.matrix import app, operations
from tests.matrix.cells import PROMISED, Cell
from tests.matrix.operations import Function
from tests.matrix.trial import attempt
from tests.matrix.world import World
from tests.support.shared_cluster import make_database, restore
from tests.support.two_regions import close, named, settings

#: Those that differ most; with the others, which tests/matrix has, it took three times as long.
FAULTS = ("cut", "stall", "killed", "terminated")
MOMENTS = ("sent", "executing", "executed")
OPERATIONS = ("write", "commit", "function", "copy")
CELLS = [
    Cell(moment=moment, operation=operation, fault=fault)
    for operation, moment, fault in itertools.product(OPERATIONS, MOMENTS, FAULTS)
]


class Once(Function):
    """The function of the matrix, executed exactly once."""

    def run(self, db, name, padding):
        with use_runtime(db._fly_orm._options.runtime):
            assert fly_orm.call(fly_orm.PRIMARY, app.store, name, padding, exactly_once=db.database) == name


class Settled(World):
    """A world with a ledger, and with a second node, which no fault hits."""

    def __init__(self, cluster, name, folder, undo):
        super().__init__(cluster, name, folder)
        self.control(create_sql())
        given = settings("syd", listen="127.0.0.1:0")
        self.far = fly_orm.wrap(peewee.PostgresqlDatabase(**named(cluster.primary, name)), settings=given)
        undo.callback(close, self.far)
        self.witness = undo.enter_context(fly_orm.serve(self.far, settings=given))

    def _database(self, address, **options):
        plain = peewee.PostgresqlDatabase(**named(self.cluster.replica, self.name))
        options["rpc_timeout"] = max(options["rpc_timeout"], 2.0)  # a quarter of it is for asking
        nodes = tuple(Node(region="syd", address=each) for each in (address, self.witness.address))
        return fly_orm.wrap(plain, settings=settings("lax", nodes={"syd": nodes}, **options), exactly_once=True)


@pytest.fixture(scope="module")
def here(cluster):
    restore(cluster)
    name = make_database(cluster)
    with ExitStack() as undo, pytest.MonkeyPatch.context() as patch:
        patch.setattr("fly_orm.forwarding.directory.random.sample", lambda nodes, _count: list(nodes))
        patch.setitem(operations.OPERATIONS, "function", Once(title="", ends_with_node=False))
        folder = undo.enter_context(tempfile.TemporaryDirectory(prefix="fly_orm_ledger."))
        made = Settled(cluster, name, Path(folder), undo)
        undo.callback(made.close)
        patch.setattr(app, "db", made.far)
        yield made
    restore(cluster)
    cluster.drop_database(name)


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell.operation}-{cell}")
def test_no_outcome_stays_unknown(here, cell):
    outcome = attempt(here, cell)
    error = outcome.error or outcome.later
    assert outcome.seen != "OutcomeUnknown", error
    assert outcome.stored in PROMISED[outcome.seen], error
