"""A sample of the cells of a COMMIT, at the end of a db_session of Pony's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from pony import orm

from tests.matrix.cells import EXPECTED, Cell
from tests.matrix.faults import FAULTS
from tests.matrix.moments import MOMENTS
from tests.matrix.operations import OPERATIONS
from tests.support.pony_regions import pony_in_lax
from tests.support.two_regions import settings
from tests.support.waiting import PATIENCE, until

SAMPLE = [
    ("sending", "cut"),
    ("sent", "cut"),
    ("executing", "cut"),
    ("executing", "terminated"),
    ("executed", "killed"),
    ("executed", "terminated"),
    ("executed", "draining"),
    ("replying", "stall"),
    ("waiting", "killed"),
]


@contextmanager
def pony(world, rpc_timeout):
    """A wrapped database of Pony's in lax, with an entity for the table."""
    given = settings("lax", "{}:{}".format(*world.to_node.address), rpc_timeout=rpc_timeout)
    regions = SimpleNamespace(cluster=world.cluster, name=world.name, lax_settings=lambda: given)
    with pony_in_lax(regions) as database:

        class Item(database.Entity):
            name = orm.Required(str)

        database.generate_mapping(check_tables=False)
        yield Item


def seen(error):
    """What Pony's error says of the cause; done if there is none."""
    return "done" if error is None else str(error).partition(":")[0]


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "fault"), SAMPLE, ids="-".join)
def test_a_db_session_says_what_became_of_it(here, moment, fault):
    cell, commit = Cell(moment=moment, operation="commit", fault=fault), OPERATIONS["commit"]
    stop, strikes, name = MOMENTS[moment](), FAULTS[fault], f"row-pony-{moment}-{fault}"
    with pony(here, strikes.rpc_timeout) as item, ThreadPoolExecutor(1) as thread:

        @orm.db_session
        def create(name):
            item(name=name)

        try:
            thread.submit(create, "warm").result(PATIENCE)
            stop.arm(here, commit, name, ledger=False)
            call = thread.submit(create, name)
            stop.wait(here)
            strikes.strike(here)
            stop.go_on(here, strikes)
            error = call.exception(PATIENCE)
            stop.settle(here, strikes)
            here.mend()
            assert seen(error) in EXPECTED[cell].seen, error
            assert here.stored(name) == EXPECTED[cell].stored
            thread.submit(create, "next").result(PATIENCE)
            until(lambda: not here.busy(), "something is left on the primary")
        finally:
            here.mend()
