"""A COPY between processes: it takes little memory however long it is, and whichever of them dies, nothing is left."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from fly_orm.testing import Cluster
from tests.support import ROOT
from tests.support.copying_process import MIB, ROW, peak_memory
from tests.support.nodes import NodeProcess, environment_in, node_process, url
from tests.support.waiting import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the memory of a process is not told here"),
]


def query(cluster: Cluster, database: str, sql: str) -> Any:
    """The first column of the first row that the primary returns."""
    with closing(cluster.primary.connect(database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0] if cursor.description else None


def nothing_is_left(cluster: Cluster, database: str) -> bool:
    """Whether no COPY is running, and none has stored a row."""
    running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY%' AND state <> 'idle'"
    return not query(cluster, database, running) and not query(cluster, database, "SELECT count(*) FROM item")


@pytest.fixture
def node(cluster: Cluster, database: str) -> Iterator[NodeProcess]:
    """A node of the primary, where there is a table."""
    query(cluster, database, "CREATE TABLE item (id serial PRIMARY KEY, name text)")
    cluster.wait_for_replica()
    with node_process("tests.support.shop:db", SHOP_URL=url(cluster.primary, database)) as node:
        node.address()
        yield node


class Caller:
    """A process in lax that copies."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def says(self) -> Any:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())

    def tell(self, mib: int) -> None:
        assert self.process.stdin
        print(mib, file=self.process.stdin, flush=True)


@contextmanager
def caller(cluster: Cluster, database: str, node: NodeProcess, *options: str) -> Iterator[Caller]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.copying_process", url(cluster.replica, database), *options],
        cwd=ROOT,
        env={**environment_in("lax"), "FLY_ORM_NODES": f"syd={node.announced.split()[-1]}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Caller(process)
    finally:
        process.kill()
        process.communicate()


def test_it_takes_little_memory_at_both_ends(cluster: Cluster, database: str, node: NodeProcess) -> None:
    with caller(cluster, database, node) as lax:
        lax.tell(10)  # as much as they hold at a time
        before = lax.says()["memory"], peak_memory(node.pid)
        lax.tell(100)
        answer = lax.says()
        assert (answer["rows"], answer["bytes"]) == (100 * MIB // ROW, 100 * MIB)
        assert answer["memory"] - before[0] < 10 * MIB
        assert peak_memory(node.pid) - before[1] < 10 * MIB


def test_a_caller_that_is_killed_leaves_nothing(cluster: Cluster, database: str, node: NodeProcess) -> None:
    with caller(cluster, database, node, "pause") as lax:
        lax.tell(10)
        assert lax.says() == "halfway"
        lax.process.kill()
        until(lambda: nothing_is_left(cluster, database))
    with caller(cluster, database, node) as another:
        another.tell(5)
        assert another.says()["rows"] == 5 * MIB // ROW


def test_a_node_that_is_killed_leaves_nothing(cluster: Cluster, database: str, node: NodeProcess) -> None:
    with caller(cluster, database, node, "pause") as lax:
        lax.tell(10)
        assert lax.says() == "halfway"
        node.process.kill()
        lax.tell(0)
        assert lax.says() == {"error": "TransactionLost"}
        until(lambda: nothing_is_left(cluster, database))
