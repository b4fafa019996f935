"""A result between processes: it takes little memory on the node, however long it is, and no more than psycopg2."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fly_orm.testing import Cluster
from tests.support import ROOT
from tests.support.copying_process import MIB, peak_memory
from tests.support.nodes import NodeProcess, environment_in, node_process, url

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the memory of a process is not told here"),
]
#: 8 columns, of which the last has 320 characters.
COLUMNS = "g, g * 2, 'name' || g, now(), random(), g % 7 = 0, 1.5::numeric, repeat(md5(g::text), 10)"
ROWS = 500_000


def rows(count: int) -> str:
    return f"SELECT {COLUMNS} FROM generate_series(1, {count}) g"


@contextmanager
def reader(server: Any, database: str, node: NodeProcess, *options: str) -> Iterator[Callable[[str, str], Any]]:
    """Asks another process to fetch the rows of a query, and returns what it says of them."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.reading_process", url(server, database), *options],
        cwd=ROOT,
        env={**environment_in("lax"), "FLY_ORM_NODES": f"syd={node.announced.split()[-1]}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout

    def ask(method: str, query: str) -> Any:
        print(method, query, file=process.stdin, flush=True)
        return json.loads(process.stdout.readline())

    try:
        yield ask
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def node(cluster: Cluster, database: str) -> Iterator[NodeProcess]:
    with node_process("tests.support.shop:db", SHOP_URL=url(cluster.primary, database)) as node:
        node.address()
        yield node


def test_200_mb_take_little_memory_on_the_node(cluster: Cluster, database: str, node: NodeProcess) -> None:
    found = {}
    for where, server in (("direct", cluster.primary), ("lax", cluster.replica)):
        with reader(server, database, node, where) as ask:
            before, of_node = ask("iterate", rows(10))["memory"], peak_memory(node.pid)
            answer = ask("iterate", rows(ROWS))
            assert (answer["rows"], answer["size"]) == (ROWS, 320 * ROWS)
            found[where] = answer["memory"] - before
    assert peak_memory(node.pid) - of_node < 32 * MIB
    assert found["lax"] < found["direct"]


def test_a_named_cursor_takes_little_memory_at_both_ends(cluster: Cluster, database: str, node: NodeProcess) -> None:
    with reader(cluster.replica, database, node, "named") as ask:
        before, of_node = ask("named", rows(10_000))["memory"], peak_memory(node.pid)
        answer = ask("named", rows(100_000))
        assert (answer["rows"], answer["size"]) == (100_000, 32_000_000)
        assert answer["memory"] - before < 10 * MIB
        assert peak_memory(node.pid) - of_node < 10 * MIB
