"""The example on FastAPI and Pony, started by the commands of its README, with real servers in two regions."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from fly_orm.testing import TwoRegions
from tests.support import ROOT
from tests.support.nodes import plain_environment
from tests.support.ports import free_ports
from tests.support.waiting import until

pytestmark = pytest.mark.slow

EXAMPLE = ROOT / "examples" / "guestbook_fastapi"
README = (EXAMPLE / "README.md").read_text()
COMMANDS = re.findall(r"^\$ (.*)$", README, re.MULTILINE)
TOKEN = "Fly-Orm-Token"


@contextmanager
def started(command, environment):
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / command[0]), *command[1:]],
        cwd=ROOT, env={**plain_environment(), **environment},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def both():
    """Two regions, each with the application; ``ask`` asks it there."""
    serve = re.search(r"fly_orm\.testing (\S+)", README)[1]
    ports = dict(zip(("syd", "lax"), free_ports(2), strict=True))
    commands = [shlex.split(line) for line in COMMANDS if line.startswith("uvicorn")]
    assert [command[-1] for command in commands] == ["8001", "8002"]
    with TwoRegions(serve, folder=ROOT) as regions, ExitStack() as undo:
        for command, (region, port) in zip(commands, ports.items(), strict=True):
            undo.enter_context(started([*command[:-1], str(port)], regions.environment(region)))
        regions.ask = lambda region, path="/entries", **options: ask(ports[region], path, **options)
        for region in ports:
            until(lambda region=region: answers(regions, region))
        yield regions


def answers(regions, region):
    try:
        return regions.ask(region, "/healthz")[0] == {"status": "ready"}
    except OSError:
        return False


def ask(port, path, *, method=None, body=None, token=None):
    """The answer, and the token that came with it."""
    headers = {"Content-Type": "application/json", **({TOKEN: token} if token else {})}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as reply:
        text = reply.read()
        return json.loads(text) if text else None, reply.headers[TOKEN]


def texts(answer):
    return [entry["text"] for entry in answer["entries"]]


def test_the_application_is_short():
    assert len((EXAMPLE / "app.py").read_text().splitlines()) < 100


def test_what_is_written_in_lax_is_read_there_and_in_syd(both):
    [body] = [json.loads(shlex.split(line)[-1]) for line in COMMANDS if "--json" in line]
    written, _ = both.ask("lax", body=body)
    assert written == {"name": "ann", "entries": 2, "region": "lax"}
    there, _ = both.ask("lax")
    assert (texts(there)[-2:], there["region"]) == (body["texts"], "lax")
    until(lambda: "route=<Route.LOCAL" in both.ask("lax")[0]["served"])
    assert texts(both.ask("syd")[0])[-2:] == body["texts"]


def test_while_the_replica_is_late_only_those_with_a_token_see_the_entry(both):
    _, token = both.ask("lax", body={"name": "bob", "texts": ["early"]})
    with both.late_replica():
        _, token = both.ask("syd", body={"name": "bob", "texts": ["late"]}, token=token)
        assert "late" not in texts(both.ask("lax")[0])
        seen, _ = both.ask("lax", token=token)
        assert "late" in texts(seen)
        assert "route=<Route.PRIMARY" in seen["served"]


def test_a_guest_who_is_forgotten_in_lax_is_gone(both):
    _, token = both.ask("lax", body={"name": "cid", "texts": ["short-lived"]})
    _, token = both.ask("lax", "/entries/cid", method="DELETE", token=token)
    assert "short-lived" not in texts(both.ask("lax", token=token)[0])


def test_without_the_primary_region_the_application_reads_and_says_that_it_cannot_write(both):
    with both.cut():
        until(lambda: both.ask("lax", "/healthz")[0] == {"status": "degraded"})
        both.ask("lax")
        with pytest.raises(urllib.error.HTTPError, match="500"):
            both.ask("lax", body={"name": "dora", "texts": ["lost"]})
    until(lambda: both.ask("lax", "/healthz")[0] == {"status": "ready"})
    assert "lost" not in texts(both.ask("lax")[0])
