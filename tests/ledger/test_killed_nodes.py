"""A node is killed at any moment, over any transport, and another one tells what became of its request."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from pony import orm

import fly_orm
from fly_orm.ledger.table import create_sql
from fly_orm.topology import Node
from tests.matrix.world import COMMITTING, INSERTING, SCHEMA
from tests.support.nodes import node_process, url
from tests.support.pony_regions import pony_in_lax
from tests.support.two_regions import TwoRegions
from tests.support.waiting import PATIENCE, until

pytestmark = [pytest.mark.over_every_transport, pytest.mark.slow]
WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


class Nodes:
    """Two nodes, of which the one that is asked first is a process that can be killed."""

    def __init__(self, regions: TwoRegions, undo: ExitStack) -> None:
        self.regions = regions
        self.victim = undo.enter_context(
            node_process("tests.matrix.app:db", MATRIX_URL=url(regions.cluster.primary, regions.name))
        )
        addresses = self.victim.address(), regions.wan.address
        nodes = {"syd": tuple(Node(region="syd", address=address) for address in addresses)}
        self.options = {"settings": regions.lax_settings(nodes=nodes, rpc_timeout=16.0), "exactly_once": True}
        self.control = regions.cluster.primary.connect(regions.name)
        self.control.autocommit = True
        undo.callback(self.control.close)

    def hold(self, lock: int) -> None:
        with self.control.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", (lock,))

    def kill_while_it_waits(self) -> None:
        until(lambda: self.regions.query(WAITING) == 1, "nothing waits on the primary")
        self.victim.kill()

    def stored(self, name: str) -> int:
        return int(self.regions.query(f"SELECT count(*) FROM item WHERE name = '{name}'"))


@pytest.fixture
def nodes(regions: TwoRegions, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    monkeypatch.setattr("fly_orm.forwarding.directory.random.sample", lambda nodes, _count: list(nodes))
    regions.query(SCHEMA + create_sql())
    regions.cluster.wait_for_replica()
    with ExitStack() as undo:
        yield Nodes(regions, undo)


def outcome(work: Any, *arguments: Any, meanwhile: Any) -> BaseException | None:
    with ThreadPoolExecutor(1) as thread:
        call = thread.submit(work, *arguments)
        meanwhile()
        return call.exception(PATIENCE)


def test_while_it_executes_a_statement(nodes: Nodes) -> None:
    db = nodes.regions.lax(options=nodes.options)
    nodes.hold(INSERTING)
    insert = "INSERT INTO item (name) VALUES ('row-1')"
    error = outcome(db.execute_sql, insert, meanwhile=nodes.kill_while_it_waits)
    assert isinstance(error, fly_orm.NotDelivered), error
    assert nodes.stored("row-1") == 0


def test_before_it_has_sent_a_reply_that_is_too_long_to_be_stored(nodes: Nodes) -> None:
    db = nodes.regions.lax(options=nodes.options)

    def kill_when_it_has_committed() -> None:
        with nodes.control.cursor() as cursor:
            until(lambda: cursor.execute("SELECT FROM item WHERE name = '1'") or cursor.rowcount, "nothing is stored")
        nodes.victim.kill()

    insert = "INSERT INTO item (name) VALUES ('1') RETURNING repeat('x', 30000000)"
    error = outcome(db.execute_sql, insert, meanwhile=kill_when_it_has_committed)
    assert isinstance(error, fly_orm.ResultLost), error
    assert nodes.stored("1") == 1


def test_while_it_commits_a_db_session(nodes: Nodes) -> None:
    with pony_in_lax(nodes.regions, **nodes.options) as database:

        class Item(database.Entity):  # type: ignore[misc, name-defined]
            name = orm.Required(str)

        database.generate_mapping(check_tables=False)

        def work() -> None:
            with orm.db_session:
                Item(name="row-1")

        nodes.hold(COMMITTING)
        error = outcome(work, meanwhile=nodes.kill_while_it_waits)
        assert isinstance(error, orm.CommitException), error
        assert str(error).startswith("TransactionLost: the transaction was not committed, and will not be")
        assert nodes.stored("row-1") == 0
