"""What a caller was told not to have happened cannot happen later, whatever holds it up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from time import sleep

import pytest

import fly_orm
from tests.matrix.conftest import here  # noqa: F401  # a fixture
from tests.matrix.operations import OPERATIONS
from tests.matrix.world import INSERTING
from tests.support.processes import stopped
from tests.support.waiting import PATIENCE, until


@pytest.mark.slow
@pytest.mark.parametrize("operation", [OPERATIONS["write"], OPERATIONS["function"]], ids=["write", "function"])
def test_a_node_that_was_stopped_just_after_it_had_checked_the_time(here, operation):  # noqa: F811
    """The statement is executed while the node is stopped, and the node, once it goes on, tries to commit it."""
    with here.caller(ledger=True, rpc_timeout=4) as db, ThreadPoolExecutor(1) as thread:
        db.execute_sql("INSERT INTO item (name) VALUES ('warm')")
        here.hold(operation.lock)
        call = thread.submit(operation.run, db, "row-late", "")
        until(here.waits, "nothing waits on the primary")
        with stopped(here.node.pid):
            assert isinstance(call.exception(PATIENCE), fly_orm.NotDelivered)
            here.let_go()
            until(lambda: not here.waits(), "the statement does not go on")
        here.mend()
        assert here.stored("row-late") == 0
        thread.submit(db.close).result()


@pytest.mark.slow
@pytest.mark.parametrize("ledger", [True, False])
def test_a_node_that_was_stopped_where_nobody_else_can_be_asked(here, ledger):  # noqa: F811
    """No row keeps the node from committing, but the deadline does: what is looked for after that does not appear."""
    with here.caller(ledger=ledger, alone=True, rpc_timeout=3) as db, ThreadPoolExecutor(1) as thread:
        here.hold(INSERTING)
        call = thread.submit(db.execute_sql, "INSERT INTO item (name) VALUES ('row-late') RETURNING repeat(name, 2)")
        until(here.waits, "nothing waits on the primary")
        with stopped(here.node.pid):
            unknown = call.exception(PATIENCE)
            assert isinstance(unknown, fly_orm.OutcomeUnknown)
            here.let_go()
            until(lambda: not here.waits(), "the statement does not go on")
            sleep(unknown.settled_after)
        here.mend()
        assert here.stored("row-late") == 0
        thread.submit(db.close).result()
