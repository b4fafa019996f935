"""The example of a Flask application, started by the commands of its README."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.nodes import plain_environment
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.slow

README = ROOT / "examples" / "guestbook" / "README.md"


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
