"""The demo, ``python -m examples.two_regions``: that it works, that it would notice if not, and that it cleans up."""

from __future__ import annotations

import importlib
import re
import signal
import subprocess
import sys

import psutil
import pytest

from examples.two_regions.plain import PlainScreen
from examples.two_regions.reporter import Reporter
from examples.two_regions.stage import Stage
from fly_orm.testing.processes import living
from tests.support import ROOT
from tests.support.pony_regions import pony_in_lax
from tests.support.waiting import until

pytestmark = pytest.mark.slow


def start():
    command = [sys.executable, "-m", "examples.two_regions"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")


def test_every_read_sees_its_write_and_plain_lines_say_so_without_a_terminal():
    with start() as demo:
        output, errors = demo.communicate()
    assert (demo.returncode, errors) == (0, "")
    assert re.search(r"^(\d+) writes, \1 read back locally, 0 missed\.$", output, re.MULTILINE)
    assert "\x1b" not in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_all_that_it_started(number):
    with start() as demo:
        for line in demo.stdout:
            if line.startswith("insert a user"):
                break
        started = {child.pid for child in psutil.Process(demo.pid).children(recursive=True)}
        demo.send_signal(number)
        demo.communicate()
    assert demo.returncode == 128 + number
    assert len(started) > 4
    until(lambda: not living(started), "processes are left")


class InThisProcess:
    """A visitor of the app whose replica stands still from the tour on."""

    round_trips = 0

    def __init__(self, cluster, visitor):
        self.cluster = cluster
        self.scripts = visitor.SCRIPTS

    def play(self, script):
        steps = []
        if script == "tour":
            self.cluster.wait_for_replica()
            self.cluster.pause_replay()
        self.scripts[script](Reporter("lax", steps.append))
        return steps


def test_reads_that_miss_their_writes_fail_it(cluster, regions, monkeypatch, capsys):
    """A write that does not wait, while the replica stands still, is not there to be read."""
    monkeypatch.setenv("DATABASE_URL", "postgresql:///nobody-connects-there")
    app = importlib.import_module("examples.two_regions.app")
    monkeypatch.setattr(app, "db", regions.lax(options={"wait": "none"}))
    app.db.bind([app.User, app.Post])
    pony = importlib.import_module("examples.two_regions.pony_app")
    with pony_in_lax(regions, wait="none") as unmapped:
        monkeypatch.setattr(pony, "connect", lambda: pony.define(unmapped))
        _show_misses(cluster, capsys)


def _show_misses(cluster, capsys):
    show = importlib.import_module("examples.two_regions.__main__").show
    visitor = InThisProcess(cluster, importlib.import_module("examples.two_regions.visitor"))
    verdict = show(Stage(rtt=0, syd_pid=0, lax=visitor, another=visitor, direct=visitor), PlainScreen())
    assert (verdict.exit_code, verdict.missed, verdict.read_back_locally) == (1, 28, 0)
    assert "28 writes, 0 read back locally, 28 missed" in capsys.readouterr().out
