"""The example of a Flask application, started by the commands of its README."""

from __future__ import annotations

import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from html import escape
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.guestbook import guest_book
from tests.support.nodes import plain_environment
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.slow

README = ROOT / "examples" / "guestbook" / "README.md"
_numbers = itertools.count(1)


def commands():
    """The commands of the README, without the one that installs."""
    blocks = re.findall(r"^```console\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)
    return re.findall(r"^\$ (?!make)(.*)$", "".join(blocks), re.MULTILINE)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(port))) == 0


class Shell:
    """Runs commands in a folder, those that end with ``&`` in the background until it is left."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = {
            **plain_environment(),
            "PYTHONPATH": str(ROOT),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        self.undo = ExitStack()

    def start(self, command):
        process = subprocess.Popen(
            ["bash", "-c", command.removesuffix("&")], cwd=self.folder, env=self.environment, start_new_session=True
        )
        self.undo.callback(process.wait, PATIENCE)
        self.undo.callback(os.killpg, process.pid, signal.SIGTERM)

    def run(self, command):
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
        )


def test_the_application_is_short():
    assert len((ROOT / "examples" / "guestbook" / "app.py").read_text().splitlines()) < 180


def test_the_commands_of_the_readme_run_it_in_two_regions(tmp_path):
    node, syd, lax = free_ports(3)
    shell = Shell(tmp_path)
    shell.environment["FLY_ORM_LISTEN"] = f"127.0.0.1:{node}"
    servers, migrate, *others = [command.replace("8001", str(syd)).replace("8002", str(lax)) for command in commands()]
    *serving, sign_up, write, read, timing, check = others
    with shell.undo:
        shell.start(servers)
        files = [tmp_path / "syd.env", tmp_path / "lax.env"]
        until(lambda: all(file.exists() and "SECRET" in file.read_text() for file in files))
        for file in files:
            file.write_text(file.read_text().replace(":7654", f":{node}"))
        assert shell.run(migrate).returncode == 0
        for command in serving:
            shell.start(command)
        until(lambda: all(map(listens, (node, syd, lax))))
        for command in (sign_up, write):
            assert shell.run(command).returncode == 0
        assert "Hello from Los Angeles" in shell.run(read).stdout
        assert 'local;desc="2 local statements"' in shell.run(timing.replace(str(syd), str(lax))).stdout
        assert 'local;desc="2 local statements"' in shell.run(timing).stdout
        until(lambda: '"status":"ready"' in shell.run(f"curl localhost:{lax}/healthz").stdout)
        until(lambda: shell.run(check).returncode == 0, "the check finds something wrong")
    assert [file for file in files if file.exists()] == []


class Visitor:
    """Somebody without a browser, who has signed the book, or has not."""

    def __init__(self, address, *, signed=True):
        self.address = address
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        if signed:
            name = f"Guest {next(_numbers)}"
            assert f"Signed in as <strong>{name}<" in self.send("sign-up", name=name)[1]

    def get(self, path="", data=None, **headers):
        """The status, and the page; those at which a redirect ends."""
        try:
            reply = self._opener.open(urllib.request.Request(self.address + path, data, headers), timeout=PATIENCE)
        except urllib.error.HTTPError as error:
            reply = error
        with reply:
            return reply.status, reply.read().decode()

    def send(self, path, **form):
        return self.get(path, urllib.parse.urlencode(form).encode())


@pytest.fixture(scope="module")
def running():
    with guest_book() as book:
        yield book


@pytest.fixture
def book(running):
    """The guest book in three regions, undisturbed, which writes no traceback."""
    running.calm()
    written = running.tracebacks()
    yield running
    assert running.tracebacks() == written


NUMBERS = {"the largest number": 2**31 - 1, "a larger one": 2**31, "a huge one": 10**30, "one too long": "9" * 5000}


@pytest.mark.parametrize("text", ["", "  ", "a\0b", "\0", "a" * 2001, "a" * 1_000_000])
@pytest.mark.parametrize("path", ["sign-up", "posts", "posts/1/comments"])
def test_a_text_that_is_not_fit_is_refused_by_a_page_of_the_book(book, path, text):
    visitor = Visitor(book.addresses["lax"], signed=path != "sign-up")
    status, page = visitor.send(path, name=text, text=text)
    assert status == 400
    assert '<h1><a href="/">Guest book</a></h1>' in page
    assert re.search(r"<p>The (name|text) must have 1 to \d+ characters, and no NUL.</p>", page)


@pytest.mark.parametrize("text", ["\U0001f600" * 2000, "line\r\n" * 400, "<b>&amp;</b> '; --", "\ud7ff\ufffd %s {}"])
def test_any_other_text_can_be_written(book, text):
    status, page = Visitor(book.addresses["lax"]).send("posts", text=text)
    assert status == 200
    assert escape(text.strip().replace("\r\n", "\n")).replace("&#x27;", "&#39;") in page


def test_a_name_that_is_taken_is_not_given_again(book):
    visitors = [Visitor(book.addresses["lax"], signed=False) for _ in range(2)]
    (first, _), (second, page) = (visitor.send("sign-up", name="n" * 40) for visitor in visitors)
    assert (first, second) == (200, 200)
    assert "Choose another name" in page


@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
def test_a_post_that_is_not_there_cannot_be_commented_on_and_need_not_be_removed(book, number):
    visitor = Visitor(book.addresses["lax"])
    commented, page = visitor.send(f"posts/{number}/comments", text="Hello")
    assert (commented, "removed" in page) in ((200, True), (404, False))
    assert visitor.send(f"posts/{number}/remove")[0] in (200, 404)
    assert visitor.get(f"?before={number}")[0] == 200


@pytest.mark.parametrize(
    ("path", "form", "status"),
    [
        ("posts", {"text": "Hello"}, 403),
        ("posts/1/remove", {}, 403),
        ("posts/-1/comments", {"text": "Hello"}, 404),
        ("nowhere", None, 404),
        ("static/nothing.css", None, 404),
        ("posts", None, 405),
        ("?before=-1", None, 200),
        ("?before=x%00", None, 200),
        ("sign-out", {}, 200),
    ],
)
def test_what_is_asked_for_without_a_name_or_a_place_has_its_status_and_page(book, path, form, status):
    visitor = Visitor(book.addresses["lax"], signed=False)
    told, page = visitor.get(path) if form is None else visitor.send(path, **form)
    assert told == status
    assert "Guest book</title>" in page


@pytest.mark.parametrize("way", ["eager", "far", "x\0"])
@pytest.mark.parametrize(
    "here", ["/", "/\r\nX: y", "//example.com/", "\0", "/\0", "/\ufffd ?a=%00#b", "/" + "a" * 3000, ""]
)
def test_a_switch_leads_to_a_page_of_this_book(book, way, here):
    status, page = Visitor(book.addresses["lax"], signed=False).send("-/way", way=way, here=here)
    assert status in (200, 404)
    assert "Guest book</title>" in page


@pytest.mark.parametrize("host", ["localhost", "[::1]", "a b", "\xff", "x:y:z", ""])
def test_an_odd_host_is_answered(book, host):
    assert Visitor(book.addresses["lax"], signed=False).get("", Host=host)[0] in (200, 400)


def test_many_visitors_at_once_are_all_served(book):
    visitors = [Visitor(book.addresses["lax"]) for _ in range(40)]
    with ThreadPoolExecutor(len(visitors)) as threads:
        assert {status for status, _ in threads.map(lambda each: each.send("posts", text="Hello"), visitors)} == {200}


def test_a_guest_who_is_lost_in_a_promotion_is_asked_to_sign_again(book):
    book.act("lax", "cut")  # so that it does not receive the guest
    writing, commenting = (Visitor(book.addresses["ams"]) for _ in range(2))
    book.crash("-p", "5432")
    book.act("lax", "heal")
    book.act("lax", "promote")
    for visitor, path in ((writing, "posts"), (commenting, "posts/1/comments")):
        until(lambda visitor=visitor, path=path: "Sign it again" in visitor.send(path, text="Hello")[1])
        assert visitor.send(path, text="Hello")[0] == 403
        assert Visitor(book.addresses["ams"]).send(path, text="Hello")[0] == 200


def test_a_server_that_is_down_is_not_promoted_and_the_primary_goes_on(book):
    book.crash("-p", "5433")
    book.act("lax", "promote")
    assert "the server in lax is down" in book.notice()
    assert Visitor(book.addresses["ams"]).send("posts", text="Hello")[0] == 200


@pytest.mark.parametrize("act", ["start", "start_server", "start_web", "promote", "pause", "resume", "heal"])
def test_a_button_of_a_page_that_is_out_of_date_does_no_harm(book, act):
    book.act("syd", act)
    assert Visitor(book.addresses["lax"]).send("posts", text="Hello")[0] == 200
