"""A node in a process of its own: what its application says, and when it ends."""

from __future__ import annotations

import signal
from types import SimpleNamespace

import pytest

from fly_orm.testing import node as module
from fly_orm.testing.environment import inherited, url
from fly_orm.testing.node import NodeNotStarted, NodeProcess
from tests.support.processes import is_running, script
from tests.support.waiting import until

APPLICATION = """
import os, sys, threading
import fly_orm
from playhouse.db_url import connect

{first}
db = fly_orm.wrap(connect(os.environ["DATABASE_URL"]))
"""


@pytest.fixture
def node_of(tmp_path, cluster, database):
    """Makes nodes of applications that do something first."""
    made = []

    def make(first: str) -> NodeProcess:
        (tmp_path / "shop.py").write_text(APPLICATION.format(first=first))
        place = {"DATABASE_URL": url(cluster.primary.params(database)), "PRIMARY_REGION": "syd", "FLY_REGION": "syd"}
        environment = {**inherited(), **place, "FLY_ORM_SECRET": "s" * 32}
        made.append(NodeProcess(("shop:db",), environment=environment, folder=tmp_path, log=tmp_path / "node.log"))
        return made[-1]

    yield make
    for node in made:
        node.kill()


def test_what_the_application_prints_goes_to_the_log_and_holds_nothing_up(node_of):
    node = node_of("print('starting'); print('x' * 200_000)")
    node.start()
    assert node.running
    assert node.log.read_text().startswith("starting\nxxx")


def test_an_application_that_goes_on_printing_is_not_held_up(node_of):
    talk = "threading.Timer(1, lambda: [print('x' * 1000) for _ in range(200)] and print('done', flush=True)).start()"
    node = node_of(talk)
    node.start()
    until(lambda: "done" in node.log.read_text())


def test_the_application_finds_an_empty_standard_input(node_of):
    node = node_of("print('read', repr(sys.stdin.read()))")
    node.start()
    assert "read ''" in node.log.read_text()


def test_a_node_ends_with_the_process_that_started_it(node_of, tmp_path):
    node = node_of("")
    text = (
        "import os, sys, time\nfrom pathlib import Path\nfrom fly_orm.testing.node import NodeProcess\n"
        "node = NodeProcess(('shop:db',), environment=os.environ, folder=Path(sys.argv[1]), log=Path(sys.argv[2]))\n"
        "node.start()\nprint(node.pid, flush=True)\ntime.sleep(600)"
    )
    with script(text, str(tmp_path), str(node.log), **node._environment) as process:
        pid = int(process.stdout.readline())
        assert is_running(pid)
        process.kill()
        process.wait()
        until(lambda: not is_running(pid), "the node has outlived the process that started it")


def test_a_node_that_does_not_serve_in_time_is_ended_and_named(node_of, monkeypatch):
    node = node_of("import time; print('asleep'); time.sleep(600)")
    late = type("Late", (), {"expired": property(lambda _: "asleep" in node.log.read_text())})
    monkeypatch.setattr(module, "Deadline", SimpleNamespace(after=lambda _: late()))
    with pytest.raises(NodeNotStarted, match=r"(?s)the node has not served after 60 s: python -m fly_orm .*asleep"):
        node.start()
    assert not node.running


def test_an_interrupt_while_a_node_starts_ends_it_at_once(node_of, monkeypatch):
    node = node_of("import time; time.sleep(600)")
    monkeypatch.setattr(module, "sleep", lambda seconds: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        node.start()
    assert not node.running
