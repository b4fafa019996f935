"""The example on Django, started by the commands of its README, with real servers in two regions."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
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
def started(arguments, environment, log):
    with log.open("w") as errors:
        process = subprocess.Popen(arguments, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=errors)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Two regions, each with the project; ``ask`` asks it there, and ``logs`` has what it wrote to stderr."""
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
        regions.logs = {region: tmp_path_factory.mktemp(region) / "log" for region in ports}
        for region, port in ports.items():
            arguments = command("runserver", "--noreload", {"syd": "8001", "lax": "8002"}[region])
            arguments = [*arguments[:-1], str(port)]
            undo.enter_context(started(arguments, regions.variables[region], regions.logs[region]))
        regions.ask = lambda region, **options: ask(ports[region], **options)
        for region in ports:
            until(lambda region=region: answers(regions, region))
        yield regions


@pytest.fixture
def both(served):
    """The regions, in which the project writes no traceback."""
    written = tracebacks(served)
    yield served
    assert tracebacks(served) == written


def tracebacks(regions):
    return sum(log.read_text().count("Traceback") for log in regions.logs.values())


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


def refusal(both, region, **options):
    """The status and what is said of it, if the answer is an error."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        both.ask(region, **options)
    with refused.value as reply:
        return reply.status, reply.read().decode()


@pytest.mark.parametrize("name", ["", "  ", "a\0b", "a" * 41, None])
@pytest.mark.parametrize("text", ["a", "", " ", "a\0b", "a" * 2001, None])
def test_what_cannot_be_stored_is_refused(both, name, text):
    form = {key: value for key, value in (("name", name), ("text", text)) if value is not None}
    status, said = refusal(both, "lax", form=form)
    assert (status, "* name" in said, "* text" in said) == (400, True, text != "a")


@pytest.mark.parametrize("name", [" eva ", "\U0001f600" * 40, "'; --", "%s"])
def test_any_other_name_and_text_can_be_written(both, name):
    _, token = both.ask("lax", form={"name": name, "text": f"{'b' * 999}\r\n{name.strip()}"})
    assert f"{name.strip()}: {name.strip()}\n" in both.ask("lax", token=token)[0]


def test_guests_who_are_new_at_the_same_time_are_all_written(both):
    forms = [{"name": f"twin {number // 8}", "text": f"text {number}"} for number in range(16)]
    with ThreadPoolExecutor(len(forms)) as threads:
        list(threads.map(lambda form: both.ask("lax", form=form), forms))
    page = both.ask("syd")[0]
    assert all("{name}: {text}\n".format(**form) in page for form in forms)


def test_without_the_primary_region_it_reads_and_says_that_nothing_was_saved(both):
    with both.cut():
        both.ask("lax")
        refused = refusal(both, "lax", form={"name": "dora", "text": "lost"})
        assert refused == (503, "the database cannot be reached; nothing was saved\n")
    assert "lost" not in both.ask("lax")[0]


@pytest.mark.parametrize("server", ["primary", "replica"])
def test_without_a_server_it_says_that_it_cannot_be_reached(both, server):
    region = {"primary": "syd", "replica": "lax"}[server]
    stopped = getattr(both.cluster, server)
    stopped.stop()
    try:
        assert refusal(both, region)[0] == 503
        if server == "primary":
            assert refusal(both, "syd", form={"name": "dora", "text": "lost"})[0] == 503
            assert refusal(both, "lax", form={"name": "dora", "text": "lost"})[0] == 503
    finally:
        stopped.start()
    for region in both.logs:
        until(lambda region=region: answers(both, region))


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
