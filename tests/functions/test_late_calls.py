"""A function does not begin after its caller has given up, whatever held the call up, and whatever the clocks show."""

from __future__ import annotations

import time

import pytest

import fly_orm
from fly_orm import OutcomeUnknown
from fly_orm.deadline import SETTLING_TIME
from fly_orm.testing.contract.tools import in_thread
from tests.support import shop
from tests.support.waiting import PATIENCE, until

#: Gives a process a clock that shows something else, and is slower by as much as clocks may be.
OTHER_CLOCK = """
import time
clock_gettime, monotonic = time.clock_gettime, time.monotonic
time.clock_gettime = lambda clock: 0.9995 * clock_gettime(clock) + {ahead}
time.monotonic = lambda: 0.9995 * monotonic() + {ahead}
"""


@pytest.fixture
def hasty(here):
    """The application in lax, whose calls give up soon, over a channel that is open."""
    here.live_in_lax(here.wan.address, rpc_timeout=1.2)
    shop.stock(["warm"])
    return here


def give_up(here, request):
    """The error of a request that the network holds until its caller has given up, and delivers then."""
    here.wan.stall()
    with pytest.raises(OutcomeUnknown) as caught:
        request()
    here.wan.heal()
    time.sleep(0.3)
    return caught.value


def test_a_call_that_arrives_after_its_caller_gave_up_is_not_begun(hasty):
    error = give_up(hasty, lambda: shop.stock(["late"]))
    assert "may have run" in str(error)
    assert 0 < error.settled_after <= SETTLING_TIME
    shop.stock(["next"])
    assert hasty.stored() == ["warm", "next"]


def test_a_call_without_a_limit_has_no_bound(hasty):
    hasty.wan.cut_before_reply()
    with pytest.raises(OutcomeUnknown) as caught:
        fly_orm.call("syd", shop.stock, ["now"], timeout=None)
    assert caught.value.settled_after is None


def test_a_statement_that_waits_ends_with_its_node(here):
    """A node that is killed cannot cancel it, and the lock that it waits for may be free only much later."""
    shop.stock(["a"])
    blocker = here.cluster.primary.connect(here.name)
    blocker.cursor().execute("BEGIN; LOCK TABLE item")
    writing = in_thread(here.db.execute_sql, "UPDATE item SET name = 'late'")
    until(lambda: here.query("SELECT count(*) FROM pg_locks WHERE NOT granted") == 1)
    here.node.kill()
    error = writing.exception(PATIENCE)
    assert isinstance(error, OutcomeUnknown)
    assert error.settled_after >= SETTLING_TIME
    until(lambda: here.query("SELECT count(*) FROM pg_locks WHERE NOT granted") == 0)
    blocker.rollback()
    blocker.close()
    assert here.stored() == ["a"]


@pytest.mark.slow
@pytest.mark.parametrize("ahead", [-1e6, 1e6])
def test_the_node_may_have_another_clock(bare, tmp_path, ahead):
    (tmp_path / "sitecustomize.py").write_text(OTHER_CLOCK.format(ahead=ahead))
    node = bare.start(PYTHONPATH=str(tmp_path))
    bare.wan = bare.undo.enter_context(fly_orm.testing.Wan(node.address()))
    bare.live_in_lax(bare.wan.address, rpc_timeout=1)
    shop.stock(["warm"])
    give_up(bare, lambda: shop.stock(["late"]))
    shop.stock(["next"])
    assert bare.stored() == ["warm", "next"]
