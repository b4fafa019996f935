"""The guest book in three regions, as ``make example`` starts it."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil

from fly_orm.testing.processes import living
from tests.support import ROOT
from tests.support.browser import Browser
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE, until

#: How many ports it takes.
_PORTS = 6


class GuestBook:
    """Its addresses, and its control room without a browser."""

    def __init__(self, first_port: int, pid: int) -> None:
        self._pid = pid
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        self._answer = ""
        names = ("room", "syd", "lax", "ams", "lax far", "ams far")
        self.addresses = {name: f"http://127.0.0.1:{first_port + offset}/" for offset, name in enumerate(names)}

    def act(self, region: str, act: str) -> None:
        """Press a button of the control room."""
        self._post(f"regions/{region}/{act}")

    def visit(self, way: str) -> None:
        """Let visitors come in this way; ``off`` is not at all."""
        self._post("visitors", way=way)

    def crash(self, *words: str) -> None:
        """Send SIGKILL to each child process whose command and environment have these words."""
        started = psutil.Process(self._pid).children()
        victims = [child for child in started if set(words) <= _words(child)]
        assert victims, words
        for victim in victims:
            victim.kill()
        until(lambda: not living({victim.pid for victim in victims}), "a process outlives SIGKILL")

    def tracebacks(self) -> int:
        """How many its processes have written to stderr, which are files without names."""
        started = [child for child in psutil.Process(self._pid).children() if "-m" in _words(child)]
        assert len(started) > len(self.addresses)
        return sum(Path(f"/proc/{child.pid}/fd/2").read_text().count("Traceback") for child in started)

    def notice(self) -> str:
        """What the control room says of the button that was pressed last; it says that once."""
        return "".join(re.findall(r'<p class="notice" role="alert">(.*?)</p>', self._answer))

    def calm(self) -> None:
        """Undo what was done to it, and let nobody visit."""
        self.visit("off")
        for label in re.findall(r'id="(start\w*|resume|heal)-(\w+)"', self._page()):
            self.act(label[1], label[0])
        if 'id="promote-syd"' in self._page():
            self.act("syd", "promote")

    def _page(self) -> str:
        with urllib.request.urlopen(self.addresses["room"], timeout=PATIENCE) as answer:
            return str(answer.read().decode())

    def _post(self, path: str, **fields: str) -> None:
        data = urllib.parse.urlencode(fields).encode()
        with self._opener.open(self.addresses["room"] + path, data, timeout=2 * PATIENCE) as answer:
            self._answer = str(answer.read().decode())


class Guest:
    """Somebody with a browser."""

    def __init__(self, browser: Browser, book: GuestBook) -> None:
        self.browser = browser
        self._book = book

    def go(self, place: str) -> None:
        """Open the book in a region, or the control room; again while a busy machine makes it fail."""

        def attempt() -> bool:
            self.browser.open(self._book.addresses[place])
            return not self._has_problem()

        until(attempt, f"the page of {place} does not open")

    def sign(self, name: str) -> None:
        """Sign the book, and be signed in."""

        def attempt() -> bool:
            if self.browser.text(".guest"):
                return True
            self.browser.fill("#name", name)
            self._send("#name ~ button")
            return bool(self.browser.text(".guest"))

        until(attempt, f"{name} cannot sign the book")

    def post(self, text: str) -> None:
        """Write a post, again if a busy machine lets it fail and the page says that nothing was saved."""

        def attempt() -> bool:
            self.browser.fill("#text", text)
            return self._send(".write button")

        until(attempt, "the post cannot be written")

    def comment(self, text: str) -> None:
        """Comment on the newest post."""

        def attempt() -> bool:
            self.browser.fill(".post .comment input", text)
            return self._send(".post .comment button")

        until(attempt, "the comment cannot be written")

    def choose(self, way: str) -> None:
        """Use one of the switches of the page."""
        self.browser.press(f".receipt button[value={way}]")

    def push(self, act: str, region: str) -> None:
        """Press a button of the control room."""
        self.go("room")
        self.browser.press(f"#{act}-{region}")

    def state(self, region: str) -> dict[str, str]:
        """What the control room, which is open, says about a region."""
        facts = self.browser.texts(f"[data-region={region}] dl > div")
        return dict(fact.split("\n") for fact in facts)  # type: ignore[misc]

    def posts(self) -> list[str]:
        """The texts of the posts on the page."""
        return self.browser.texts(".post > .text")

    def reads(self, place: str = "") -> set[str]:
        """The regions in which the reads of the page ran; those of a fresh page if a place is given."""
        if place:
            self.go(place)
        return self._regions("SELECT")

    def writes(self) -> set[str]:
        """The regions in which the writes of what was sent ran."""
        return self._regions("INSERT")

    def _regions(self, verb: str) -> set[str]:
        steps = [text.split("\n") for text in self.browser.texts(".steps summary")]
        return {where for where, what, *_ in steps if what.startswith(verb)}

    def _send(self, button: str) -> bool:
        """Whether what the form has was saved."""
        self.browser.press(button)
        if not self._has_problem():
            return True
        self.browser.press(".problem a")
        return False

    def _has_problem(self) -> bool:
        """Whether the page says that the database was out of reach. The console says so, too, which is no complaint."""
        has_problem = bool(self.browser.text(".problem"))
        if has_problem:
            self.browser.complaints()
        return has_problem


@contextmanager
def guest_book() -> Iterator[GuestBook]:
    """A running guest book. It ends by a SIGINT, as by Ctrl-C, and nothing of it is left then."""
    port = _free_port()
    command = [sys.executable, "-m", "examples.guestbook", "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            lines = iter(process.stdout.readline, "")
            assert any("Ctrl-C" in line for line in lines), process.stderr.read()
            yield GuestBook(port, process.pid)
            started = {child.pid for child in psutil.Process(process.pid).children(recursive=True)}
        finally:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=2 * PATIENCE)
    assert (process.returncode, errors) == (128 + signal.SIGINT, "")
    assert len(started) > 10
    until(lambda: not living(started), "processes are left")


def _words(process: psutil.Process) -> set[str]:
    """The words of a process' command, and of its environment, as ``NAME=value``; those that can be read."""
    words: set[str] = set()
    with suppress(psutil.Error):  # it has ended, or belongs to another user
        words.update(process.cmdline())
        words.update(f"{name}={value}" for name, value in process.environ().items())
    return words


def _free_port() -> int:
    """The first of some free ports in a row."""
    while True:
        (first,) = free_ports(1)
        with ExitStack() as undo, suppress(OSError):
            for offset in range(_PORTS):
                undo.enter_context(socket.create_server(("127.0.0.1", first + offset)))
            return first
