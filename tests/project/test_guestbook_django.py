"""The example on Django, started by the commands of its README, with real servers in two regions."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import urllib.parse
import urllib.request
from contextlib import ExitStack, contextmanager

import pytest

from fly_orm.testing import TwoRegions
from tests.support import ROOT
from tests.support.nodes import plain_environment
from tests.support.ports import free_ports
from tests.support.waiting import until

pytestmark = pytest.mark.slow

EXAMPLE = ROOT / "examples" / "guestbook_django"
README = (EXAMPLE / "README.md").read_text()
COMMANDS = [shlex.split(line) for line in re.findall(r"^\$ (.*)$", README, re.MULTILINE)]
SETTINGS = dict([re.search(r"(DJANGO_SETTINGS_MODULE)=(\S+)", README).groups()])
TOKEN = "Fly-Orm-Token"


def command(*words):
    """A command of the README, for the interpreter of the tests."""
    [found] = [each[1:] for each in COMMANDS if each[3 : 3 + len(words)] == list(words)]
    return [sys.executable, *found]


def run(arguments, environment):
    return subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True)


@contextmanager
def started(arguments, environment):
    process = subprocess.Popen(
        arguments, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def both():
    """Two regions, each with the project; ``ask`` asks it there."""
    served = next(each[-1] for each in COMMANDS if "fly_orm.testing" in each)
    ports = dict(zip(("syd", "lax"), free_ports(2), strict=True))
    with pytest.MonkeyPatch.context() as patch, ExitStack() as undo:
        patch.setenv("DJANGO_SETTINGS_MODULE", SETTINGS["DJANGO_SETTINGS_MODULE"])
        regions = undo.enter_context(TwoRegions(served, folder=ROOT))
        regions.variables = {
            region: {**plain_environment(), **regions.environment(region), **SETTINGS} for region in ports
        }
        migrated = run(command("migrate"), regions.variables["lax"])
        assert migrated.returncode == 0, migrated.stderr
        for region, port in ports.items():
            arguments = command("runserver", "--noreload", {"syd": "8001", "lax": "8002"}[region])
            undo.enter_context(started([*arguments[:-1], str(port)], regions.variables[region]))
        regions.ask = lambda region, **options: ask(ports[region], **options)
        for region in ports:
            until(lambda region=region: answers(regions, region))
        yield regions


def answers(regions, region):
    try:
        return regions.ask(region, path="/healthz")[0] == '{"status": "ready"}'
    except OSError:
        return False


def ask(port, path="/", *, form=None, token=None):
    """The answer, after a redirect, and the token that came with it."""
    data = None if form is None else urllib.parse.urlencode(form).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {TOKEN: token} if token else {})
    opener = urllib.request.build_opener(_Staying())
    with opener.open(request, timeout=60) as reply:
        return reply.read().decode(), reply.headers[TOKEN]


class _Staying(urllib.request.HTTPRedirectHandler):
    """Does not follow a redirect, whose answer has the token."""

    def http_error_302(self, req, fp, code, msg, headers):
        return fp


def test_what_is_written_in_lax_is_read_there_and_in_syd(both):
    form = dict(word.split("=") for each in COMMANDS if "--location" in each for word in each if "=" in word)
    both.ask("lax", form=form)
    until(lambda: "in lax: Served(route=<Route.LOCAL" in both.ask("lax")[0])
    for region in ("lax", "syd"):
        assert "ann: Hello from Los Angeles\n" in both.ask(region)[0]
    assert run(command("fly_orm_check"), both.variables["lax"]).returncode == 0


def test_while_the_replica_is_late_only_those_with_a_token_see_the_entry(both):
    with both.late_replica():
        _, token = both.ask("syd", form={"name": "bob", "text": "late"})
        assert "late" not in both.ask("lax")[0]
        assert "late" in both.ask("lax", token=token)[0]


def snippet(language, beginning):
    """The code block of the page about Django that begins like this."""
    page = (ROOT / "docs" / "django.md").read_text()
    blocks = re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    [found] = [block for block in blocks if block.startswith(beginning)]
    return found


TESTS = """
import fly_orm
from examples.guestbook_django.fly_orm_functions import sign
from examples.guestbook_django.models import Entry, Guest


def test_it_is_local_to_read(fly_orm_regions):
    with fly_orm_regions.assert_round_trips(1):
        entries = sign("ann", ["a", "b"])
    with fly_orm_regions.assert_local():
        assert [entry.text for entry in Entry.objects.order_by("id")] == [entry.text for entry in entries]


def test_the_tables_are_empty():
    assert not Guest.objects.exists()
"""


def test_the_plug_in_for_pytest_runs_tests_of_the_project_in_a_secondary_region(tmp_path):
    (tmp_path / "pytest.ini").write_text(snippet("ini", "[pytest]\nfly_orm_databases"))
    (tmp_path / "conftest.py").write_text(snippet("python", "# conftest.py"))
    (tmp_path / "test_book.py").write_text(TESTS)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path, env={**plain_environment(), "PYTHONPATH": str(ROOT), **SETTINGS}, capture_output=True, text=True,
    )  # fmt: skip
    assert "2 passed" in ran.stdout, ran.stdout + ran.stderr
