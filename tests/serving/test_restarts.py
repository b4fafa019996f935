"""Nodes, and the primary, that restart under load: callers wait, and no request fails or is executed twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playhouse.pool import PooledPostgresqlDatabase

import fly_orm
from fly_orm.runtime.runtime import Runtime, use_runtime
from fly_orm.testing import Cluster, Wan
from fly_orm.testing.contract.tools import in_thread
from fly_orm.topology import Node
from tests.support import shop
from tests.support.nodes import NodeProcess, url
from tests.support.ports import free_ports
from tests.support.two_regions import Regions, settings
from tests.support.waiting import PATIENCE, until

RTT = 0.02
#: Longer (seconds) than a node takes to start on a busy machine.
LONG = 60.0


class Load:
    """Threads that write in three ways, and what each of them was told."""

    def __init__(self, db: Any, runtime: Runtime, threads: int) -> None:
        self.db, self.runtime = db, runtime
        self.written: list[str] = []
        self.failures: list[BaseException] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(threads)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def goes_on(self) -> None:
        """Wait until every thread has written again, probably."""
        goal = len(self.written) + 4 * len(self._threads)
        until(lambda: len(self.written) >= goal or self.failures, "nothing is written")

    def _work(self, number: int) -> None:
        ways: list[Callable[[str], None]] = [self._in_autocommit, self._in_a_transaction, self._by_function]
        round_ = 0
        while not self._over.is_set():
            round_ += 1
            name = f"{number} {round_}"
            try:
                with fly_orm.session(), use_runtime(self.runtime), self.db.connection_context():
                    ways[round_ % 3](name)
                self.written.append(name)
            except Exception as error:
                self.failures.append(error)
                return

    def _in_autocommit(self, name: str) -> None:
        self.db.execute_sql("INSERT INTO item (name, price) VALUES (%s, 0)", (name,))

    def _in_a_transaction(self, name: str) -> None:
        with self.db.atomic():
            self._in_autocommit(name)
            self.db.execute_sql("UPDATE item SET price = 1 WHERE name = %s", (name,))

    def _by_function(self, name: str) -> None:
        shop.stock_all(name)


class Nodes:
    """Nodes in syd that are processes, and can be restarted at the same address, with a network before each."""

    def __init__(self, cluster: Cluster, database: str, undo: ExitStack) -> None:
        self._url = url(cluster.primary, database)
        self._undo = undo
        self.by_port: dict[int, NodeProcess] = {}

    def start(self, port: int) -> None:
        node = NodeProcess("tests.support.shop:db", SHOP_URL=self._url, FLY_ORM_LISTEN=f"127.0.0.1:{port}")
        self._undo.callback(node.kill)
        self.by_port[port] = node
        node.address()

    def stop(self, port: int) -> None:
        self.by_port[port].process.terminate()
        assert self.by_port[port].process.wait(PATIENCE) == 0


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fly_orm.forwarding.interruption.PATIENCE", LONG)


@pytest.fixture
def undo() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def nodes(cluster: Cluster, database: str, undo: ExitStack) -> Nodes:
    return Nodes(cluster, database, undo)


@pytest.fixture
def load(cluster: Cluster, database: str, nodes: Nodes, undo: ExitStack) -> Callable[[int], Load]:
    """Starts as many nodes, and returns the load for them."""

    def start(count: int) -> Load:
        for port in free_ports(count):
            nodes.start(port)
        addresses = [undo.enter_context(Wan(f"127.0.0.1:{port}", rtt=RTT)).address for port in nodes.by_port]
        listed = {"syd": tuple(Node(region="syd", address=address) for address in addresses)}
        regions = Regions(cluster=cluster, name=database, undo=undo)
        plain = regions.plain()
        with plain.bind_ctx(shop.MODELS):
            plain.create_tables(shop.MODELS)
        cluster.wait_for_replica()
        given = settings("lax", nodes=listed, rpc_timeout=LONG)
        db = regions.lax(PooledPostgresqlDatabase, options={"settings": given}, max_connections=20)
        return Load(db, db._fly_orm._options.runtime, threads=8)

    return start


def stored(cluster: Cluster, database: str) -> list[str]:
    with cluster.primary.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT name FROM item ORDER BY name")
        return [name for (name,) in cursor.fetchall()]


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
def test_no_call_fails_while_each_node_restarts(
    cluster: Cluster, database: str, nodes: Nodes, load: Callable[[int], Load], count: int
) -> None:
    with load(count) as running:
        running.goes_on()
        for port in list(nodes.by_port) * (3 - count):
            nodes.stop(port)
            nodes.start(port)  # which takes a second or two
            running.goes_on()
    assert running.failures == []
    assert stored(cluster, database) == sorted(running.written)


@pytest.mark.slow
def test_writes_wait_for_a_primary_that_restarts(cluster: Cluster, database: str, load: Callable[[int], Load]) -> None:
    """What was executed just then fails as it does on one server; what begins meanwhile waits."""
    running = load(1)
    running._in_autocommit("before")
    cluster.primary.stop()

    def call() -> None:
        with use_runtime(running.runtime):
            running._by_function("by function")

    waiting = [in_thread(running._in_autocommit, "during"), in_thread(call)]
    threading.Event().wait(0.5)
    assert not any(each.done() for each in waiting)
    cluster.primary.start()
    assert [each.result(PATIENCE) for each in waiting] == [None, None]
    assert stored(cluster, database) == ["before", "by function", "during"]
    running.db.close_all()
