"""The examples of the pages about waiters and discoveries work in an application that finds them by entry point."""

from __future__ import annotations

import configparser
import http.server
import importlib
import json
import re
import subprocess
import sys
import threading
import zipfile
from contextlib import closing, contextmanager

import pytest

from fly_orm.deadline import Deadline
from fly_orm.errors import ConfigurationError, NotAReplica, NotDelivered, ReplicationTimeout
from fly_orm.lsn import LSN
from fly_orm.registry import DISCOVERIES, WAITERS
from fly_orm.settings import Settings
from fly_orm.topology import Node
from tests.support import ROOT
from tests.support.environments import pip
from tests.support.nodes import environment_in, url
from tests.waiters.watching import write

#: By page, the entry-point group of its example.
EXAMPLES = {"waiters": WAITERS, "discoveries": DISCOVERIES}

VISIT = """
import json, os
import fly_orm
from peewee import Model, TextField
from playhouse.db_url import connect

db = fly_orm.wrap(connect(os.environ["DATABASE_URL"]))

class Note(Model):
    text = TextField()
    class Meta:
        database = db

db.create_tables([Note])
Note.create(text="hello")
written = fly_orm.why()
found = [note.text for note in Note.select()]
print(json.dumps([written.route.name, found, fly_orm.why().route.name]))
"""


@pytest.fixture
def installed(tmp_path):
    """A folder with the two distributions of the pages, as pip would install them."""
    for page, group in EXAMPLES.items():
        text = (ROOT / "docs" / f"{page}.md").read_text()
        [setup] = re.findall(r"^```ini\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        [code] = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        config = configparser.ConfigParser()
        config.read_string(setup)
        (tmp_path / f"{config['options']['py_modules']}.py").write_text(code)
        info = tmp_path / f"{config['metadata']['name'].replace('-', '_')}-{config['metadata']['version']}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {config['metadata']['name']}\nVersion: {config['metadata']['version']}\n"
        )
        (info / "entry_points.txt").write_text(f"[{group}]{config['options.entry_points'][group]}\n")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", EXAMPLES)
def test_pip_builds_the_distribution_of_a_page(tmp_path, page):
    text = (ROOT / "docs" / f"{page}.md").read_text()
    blocks = dict(re.findall(r"^```(ini|toml|python)\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    config = configparser.ConfigParser()
    config.read_string(blocks["ini"])
    module = config["options"]["py_modules"]
    for name, language in (("setup.cfg", "ini"), ("pyproject.toml", "toml"), (f"{module}.py", "python")):
        if language in blocks:
            (tmp_path / name).write_text(blocks[language])
    pip("wheel", "--no-deps", "--wheel-dir", tmp_path / "wheels", tmp_path)
    [built] = (tmp_path / "wheels").iterdir()
    with zipfile.ZipFile(built) as wheel:
        assert f"{module}.py" in wheel.namelist()


@pytest.fixture
def example(installed, monkeypatch):
    """Imports the module of a page."""
    monkeypatch.syspath_prepend(str(installed))
    yield importlib.import_module
    for name in ("fly_orm_gentle", "fly_orm_web"):
        sys.modules.pop(name, None)


@contextmanager
def registry(listed):
    """The address of a web server that has the list of nodes."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(listed).encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}/nodes.json"
        server.shutdown()
        serving.join()


def visit(regions, installed, **variables):
    """What a process in lax has seen, whose waiter and discovery are those of the pages."""
    with registry({"syd": [regions.wan.address]}) as address:
        given = {"FLY_ORM_WAITER": "gentle", "FLY_ORM_DISCOVERY": "web", "NODES_URL": address, **variables}
        ran = subprocess.run(
            [sys.executable, "-c", VISIT],
            cwd=installed,
            env={
                **environment_in("lax"),
                "DATABASE_URL": url(regions.cluster.replica, regions.name),
                "PYTHONPATH": f"{installed}:{ROOT}",
                **given,
            },
            capture_output=True,
            text=True,
        )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout), ran.stderr


def test_an_application_that_uses_both_reads_its_write_on_the_replica(regions, installed):
    seen, _ = visit(regions, installed)
    assert seen == ["PRIMARY", ["hello"], "LOCAL"]


def test_with_a_late_replica_the_write_returns_and_the_primary_is_read(regions, installed):
    with regions.cluster.replay_paused():
        seen, said = visit(regions, installed, FLY_ORM_REPLICATION_TIMEOUT="0.2")
    assert seen == ["PRIMARY", ["hello"], "PRIMARY"]
    assert "the replica has replayed" in said


def test_the_waiter_tells_a_late_replica_from_a_primary_and_from_one_that_is_gone(cluster, example):
    kind = example("fly_orm_gentle").GentleWaiter
    far = LSN.parse("FFFF/0")
    with closing(kind(cluster.replica.connect)) as waiter:
        lsn = write(cluster)
        assert waiter.wait(lsn, Deadline.after(30)) >= lsn
        with pytest.raises(ReplicationTimeout, match="in 0 s"):
            waiter.wait(far, Deadline.after(0))
    with pytest.raises(ReplicationTimeout, match="closed"):
        waiter.wait(far, Deadline.after(30))
    with closing(kind(cluster.primary.connect)) as waiter, pytest.raises(NotAReplica):
        waiter.wait(far, Deadline.after(30))
    with (
        closing(kind(lambda: cluster.replica.connect("no_such_database"))) as waiter,
        pytest.raises(ReplicationTimeout, match="cannot be asked"),
    ):
        waiter.wait(far, Deadline.after(30))


def test_the_discovery_knows_the_nodes_and_says_when_it_does_not(example, monkeypatch):
    kind = example("fly_orm_web").WebDiscovery
    with registry({"syd": ["a:1", "b:2"], "lax": []}) as address:
        monkeypatch.setenv("NODES_URL", address)
        found = kind(Settings())
        assert found.nodes("syd", Deadline.after(30)) == tuple(
            Node(region="syd", address=each) for each in ("a:1", "b:2")
        )
        assert found.nodes("ams", Deadline.after(30)) == ()
        assert found.regions(Deadline.after(30)) == ["lax", "syd"]
        assert f"{address} gave 2 nodes" in found.describe("syd")
    with pytest.raises(NotDelivered, match="cannot find out where the nodes are: http"):
        kind(Settings()).nodes("syd", Deadline.after(30))
    with registry(["syd"]) as address:
        monkeypatch.setenv("NODES_URL", address)
        with pytest.raises(NotDelivered, match="AttributeError"):
            kind(Settings()).nodes("syd", Deadline.after(30))
    monkeypatch.delenv("NODES_URL")
    with pytest.raises(ConfigurationError, match="NODES_URL"):
        kind(Settings())
