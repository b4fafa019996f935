"""A node that leaves while requests are on their way to it. Nothing of them is executed, and their callers know."""

from __future__ import annotations

from typing import Any

import pytest

from fly_orm import Deadline, NotDelivered, Refused, TransactionLost
from fly_orm.forwarding.channels import NodeChannels
from fly_orm.protocol.messages import Call, Declined, Run, Settle
from fly_orm.testing.contract.tools import in_thread
from tests.support.two_regions import TwoRegions
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.usefixtures("no_spare_channels", "impatient")

#: Long enough for a node to leave while a request is on its way.
RTT = 1.0


@pytest.fixture
def db(regions: TwoRegions) -> Any:
    regions.query("CREATE TABLE item (name text)")
    regions.cluster.wait_for_replica()
    return regions.lax()


def leaves_before(regions: TwoRegions, work: Any) -> BaseException | None:
    """The error of work whose request is on its way when the node leaves."""
    before = regions.wan.round_trips
    regions.wan.rtt = RTT
    working = in_thread(work)
    until(lambda: regions.wan.round_trips > before)
    regions.serving.close(0)
    return working.exception(PATIENCE)


def insert(db: Any, name: str) -> None:
    db.execute_sql("INSERT INTO item VALUES (%s)", (name,))


def channels_of(db: Any) -> NodeChannels:
    """The channels to the node in syd."""
    directory = db._fly_orm.forwarder.directory
    (node,) = directory.nodes("syd", Deadline.after(PATIENCE))
    channels: NodeChannels = directory.channels_to(node)
    return channels


def test_a_write_was_certainly_not_executed(regions: TwoRegions, db: Any) -> None:
    insert(db, "before")
    connection = db.connection()
    error = leaves_before(regions, lambda: connection.cursor().execute("INSERT INTO item VALUES ('late')"))
    assert isinstance(error, Refused | NotDelivered), error
    assert "this node is shutting down" in str(error)
    assert regions.query("SELECT string_agg(name, ' ') FROM item") == "before"


@pytest.mark.parametrize("end", [False, True])
def test_a_transaction_was_certainly_rolled_back(regions: TwoRegions, db: Any, end: bool) -> None:
    connection = db.connection()
    connection.autocommit = False
    cursor = connection.cursor()
    cursor.execute("INSERT INTO item VALUES ('first')")
    work = connection.commit if end else lambda: cursor.execute("INSERT INTO item VALUES ('second')")
    error = leaves_before(regions, work)
    assert isinstance(error, TransactionLost), error
    assert "this node is shutting down" in str(error)
    assert regions.query("SELECT count(*) FROM item") == 0


def test_open_transactions_leave_time_for_the_last_replies(
    regions: TwoRegions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise, what is answered at the end of that time would lose its reply, even one that declines it."""
    given: list[float] = []
    monkeypatch.setattr(regions.serving._executor, "drain", given.append)
    regions.serving.close(40)
    assert 30 < given[0] <= 39


@pytest.mark.parametrize("way", ["write", "function", "question"])
def test_a_channel_over_which_the_node_has_declined_is_not_used_again(regions: TwoRegions, db: Any, way: str) -> None:
    """What declined the request may have been the last reply. The next request would then get none."""
    insert(db, "before")
    executor, channels = regions.serving._executor, channels_of(db)
    with channels.lent(Deadline.after(PATIENCE)) as channel:
        executor.draining = True
        request = {
            "write": Run(database=regions.name, lease=b"l" * 16, opens_lease=True, statements=[b"SELECT 1"]),
            "function": Call(function="any"),
            "question": Settle(run=Run(database=regions.name, lease=b"l" * 16), id="any"),
        }[way]
        reply = channel.request(request, Deadline.after(PATIENCE))
        assert isinstance(reply, Declined)
        assert reply.reason == "draining"
        executor.draining = False
    with channels.lent(Deadline.after(PATIENCE)) as other:
        assert other is not channel
