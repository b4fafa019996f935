"""The example on FastAPI and Pony, started by the commands of its README, with real servers in two regions."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
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
def started(command, environment, log):
    with log.open("w") as errors:
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / command[0]), *command[1:], "--log-level", "warning"],
            cwd=ROOT, env={**plain_environment(), **environment}, stdout=subprocess.DEVNULL, stderr=errors,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Two regions, each with the application; ``ask`` asks it there, and ``logs`` has what it wrote to stderr."""
    serve = re.search(r"fly_orm\.testing (\S+)", README)[1]
    ports = dict(zip(("syd", "lax"), free_ports(2), strict=True))
    commands = [shlex.split(line) for line in COMMANDS if line.startswith("uvicorn")]
    assert [command[-1] for command in commands] == ["8001", "8002"]
    with TwoRegions(serve, folder=ROOT) as regions, ExitStack() as undo:
        regions.logs = {region: tmp_path_factory.mktemp(region) / "log" for region in ports}
        for command, (region, port) in zip(commands, ports.items(), strict=True):
            command = [*command[:-1], str(port)]
            undo.enter_context(started(command, regions.environment(region), regions.logs[region]))
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
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as reply:
        text = reply.read()
        return json.loads(text) if text else None, reply.headers[TOKEN]


def texts(answer):
    return [entry["text"] for entry in answer["entries"]]


def test_the_application_is_short():
    assert len((EXAMPLE / "app.py").read_text().splitlines()) < 110


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


def refusal(both, region, path="/entries", **options):
    """The status and what is said of it, if the answer is an error."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        both.ask(region, path, **options)
    with refused.value as reply:
        return reply.status, json.loads(reply.read())["detail"]


ODD_BODIES = {
    "an empty name": b'{"name": "", "texts": ["a"]}',
    "a name of spaces": b'{"name": "   ", "texts": ["a"]}',
    "a name of control characters": rb'{"name": "\u001c", "texts": ["a"]}',
    "a name with NUL": rb'{"name": "a\u0000b", "texts": ["a"]}',
    "half a character": rb'{"name": "\ud800", "texts": ["a"]}',
    "a long name": json.dumps({"name": "a" * 501, "texts": ["a"]}).encode(),
    "a number": b'{"name": 7, "texts": ["a"]}',
    "no number": b'{"name": NaN, "texts": ["a"]}',
    "no text": b'{"name": "odd", "texts": []}',
    "an empty text": b'{"name": "odd", "texts": ["a", ""]}',
    "a text with NUL": rb'{"name": "odd", "texts": ["a\u0000b"]}',
    "half a character in a text": rb'{"name": "odd", "texts": ["\udfff"]}',
    "a long text": json.dumps({"name": "odd", "texts": ["a" * 501]}).encode(),
    "many texts": json.dumps({"name": "odd", "texts": ["a"] * 101}).encode(),
    "no name": b'{"texts": ["a"]}',
    "a list": b"[]",
    "no JSON": b"{",
    "a surrogate as a name of a field": rb'{"\ud800": 1}',
}


@pytest.mark.parametrize("body", ODD_BODIES.values(), ids=ODD_BODIES)
def test_what_cannot_be_stored_is_refused(both, body):
    said = both.logs["lax"].read_text()
    status, problems = refusal(both, "lax", body=body)
    assert (status, problems[0]["loc"][0]) == (422, "body")
    assert both.logs["lax"].read_text() == said


@pytest.mark.parametrize("name", ["a%00b", "%20", "%1c", "a" * 501])
def test_a_guest_that_cannot_exist_cannot_be_forgotten(both, name):
    said = both.logs["lax"].read_text()
    assert refusal(both, "lax", f"/entries/{name}", method="DELETE")[0] == 422
    assert both.logs["lax"].read_text() == said


@pytest.mark.parametrize("name", ["nobody", "%ff", "%F0%9F%98%80", "a" * 500, "%27%3B--"])
def test_a_guest_who_is_not_there_is_forgotten_at_once(both, name):
    both.ask("lax", f"/entries/{name}", method="DELETE")


@pytest.mark.parametrize("name", [" eva ", "\U0001f600", "\u6f22" * 500, "'; --", "%"])
def test_any_name_can_be_given_and_is_kept_without_spaces_around_it(both, name):
    written, token = both.ask("lax", body={"name": name, "texts": ["b" * 500, " c\nd "]})
    assert written["name"] == name.strip()
    assert texts(both.ask("lax", token=token)[0])[-2:] == ["b" * 500, "c\nd"]


def test_guests_who_are_new_at_the_same_time_are_all_written(both):
    names = [f"twin {number // 8}" for number in range(16)]
    with ThreadPoolExecutor(len(names)) as threads:
        list(threads.map(lambda name: both.ask("lax", body={"name": name, "texts": ["hi"]}), names))
    assert sorted(each["name"] for each in both.ask("syd")[0]["entries"] if each["name"] in names) == names


def test_a_guest_can_be_forgotten_twice_also_by_those_who_have_not_seen_it(both):
    both.ask("lax", body={"name": "gus", "texts": ["gone"]})
    until(lambda: "gone" in texts(both.ask("lax")[0]))
    with both.late_replica():
        for region in ("syd", "lax"):
            both.ask(region, "/entries/gus", method="DELETE")
    assert "gone" not in texts(both.ask("syd")[0])


NOT_SAVED = (503, "the database cannot be reached; nothing was saved")


def test_without_the_primary_region_the_application_reads_and_says_that_it_cannot_write(both):
    both.ask("lax", body={"name": "dan", "texts": ["stays"]})
    said = both.logs["lax"].read_text()
    with both.cut():
        until(lambda: both.ask("lax", "/healthz")[0] == {"status": "degraded"})
        both.ask("lax")
        assert refusal(both, "lax", body={"name": "dora", "texts": ["lost"]}) == NOT_SAVED
        assert refusal(both, "lax", "/entries/dan", method="DELETE") == NOT_SAVED
    until(lambda: both.ask("lax", "/healthz")[0] == {"status": "ready"})
    assert "lost" not in texts(both.ask("lax")[0])
    assert "stays" in texts(both.ask("lax")[0])
    assert "Traceback" not in both.logs["lax"].read_text()[len(said) :]


@pytest.mark.parametrize("region", ["syd", "lax"])
def test_without_the_primary_server_the_application_says_that_it_cannot_write(both, region):
    both.ask("lax", body={"name": "hal", "texts": ["stays"]})
    said = both.logs[region].read_text()
    both.cluster.primary.stop()
    try:
        assert refusal(both, region, body={"name": "dora", "texts": ["lost"]})[0] == 503
        assert refusal(both, region, "/entries/hal", method="DELETE")[0] == 503
    finally:
        both.cluster.primary.start()
    until(lambda: answers(both, region))
    assert "Traceback" not in both.logs[region].read_text()[len(said) :]


def test_without_its_replica_the_application_says_that_it_cannot_read(both):
    both.cluster.replica.stop()
    try:
        assert refusal(both, "lax")[0] == 503
    finally:
        both.cluster.replica.start()
    until(lambda: answers(both, "lax"))
    assert "Traceback" not in both.logs["lax"].read_text()
