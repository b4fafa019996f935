"""What Pony says of a db_session whose only request, with its COMMIT, meets a fault."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from pony import orm

from tests.matrix.cells import CODES
from tests.matrix.faults import FAULTS
from tests.matrix.moments import MOMENTS
from tests.matrix.operations import Write
from tests.matrix.world import COMMITTING, INSERTING
from tests.support.pony_regions import pony_in_lax
from tests.support.two_regions import settings
from tests.support.waiting import PATIENCE, until

#: When the fault happens, what it is, and what becomes of a write and its COMMIT that are one request.
SAMPLE = [
    ("before", "cut", "undelivered"),
    ("sent", "cut", "unknown-0"),
    ("executing", "cut", "unknown-0"),
    ("executing", "terminated", "lost"),
    ("committing", "cut", "unknown-0"),
    ("committing", "terminated", "unknown-0"),
    ("executed", "killed", "unknown-1"),
    ("executed", "terminated", "done"),
    ("executed", "draining", "done"),
    ("replying", "stall", "unknown-1"),
    ("waiting", "killed", "done"),
]


class Session(Write):
    """Writes at its end, with the COMMIT."""


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
    if isinstance(error, orm.core.UnexpectedError):
        return type(error.original_exc).__name__
    return "done" if error is None else str(error).partition(":")[0]


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "fault", "code"), SAMPLE, ids=lambda each: each)
def test_a_db_session_says_what_became_of_it(here, moment, fault, code):
    session = Session(title="a db_session", lock=COMMITTING if moment == "committing" else INSERTING)
    stop, strikes = MOMENTS["executing" if moment == "committing" else moment](), FAULTS[fault]
    name, expected = f"row-pony-{moment}-{fault}", CODES[code]
    with pony(here, strikes.rpc_timeout) as item, ThreadPoolExecutor(1) as thread:

        @orm.db_session
        def create(name):
            item(name=name)

        try:
            thread.submit(create, "warm").result(PATIENCE)
            stop.arm(here, session, name, ledger=moment == "executed")  # there, it ends with a COMMIT, too
            if moment == "before":
                strikes.strike(here)
            call = thread.submit(create, name)
            if moment != "before":
                stop.wait(here)
                strikes.strike(here)
            stop.go_on(here, strikes)
            error = call.exception(PATIENCE)
            stop.settle(here, strikes)
            here.mend()
            assert seen(error) in expected.seen, error
            assert here.stored(name) == expected.stored
            thread.submit(create, "next").result(PATIENCE)
            until(lambda: not here.busy(), "something is left on the primary")
        finally:
            here.mend()
