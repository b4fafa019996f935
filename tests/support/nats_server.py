"""NATS servers for tests, on loopback, at ports that they choose themselves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from fly_orm.testing.contract.tools import until


def executable():
    """The path of ``nats-server``; without one the test is skipped, or fails where CI is set."""
    found = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/usr/local/bin")
    if found is None:
        problem = "there is no nats-server on the PATH (Debian: apt-get install nats-server)"
        pytest.fail(problem) if os.environ.get("CI") else pytest.skip(problem)
    return found


class NatsProcess:
    """A server, which can be stopped and started again at the same port."""

    def __init__(self, folder, *arguments, scheme="nats"):
        self.folder = Path(folder)
        self.arguments = arguments
        self.scheme = scheme
        self.ports = {}
        self.start("-1")

    @property
    def port(self):
        return int(self.ports["nats"][0].rpartition(":")[2])

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def start(self, port=None):
        command = [executable(), "-a", "127.0.0.1", "-p", port or str(self.port), *self.arguments]
        self.log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen([*command, "--ports_file_dir", self.folder], stdout=self.log, stderr=self.log)
        file = self.folder / f"nats-server_{self.process.pid}.ports"
        until(lambda: self.process.poll() is not None or (file.exists() and file.read_text()), complaint=self.said)
        assert self.process.poll() is None, self.said()
        self.ports = json.loads(file.read_text())

    def said(self):
        return (self.folder / "log").read_text()

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def restart(self):
        self.stop()
        self.start()


@contextmanager
def nats_server(*arguments, **options):
    """A server with further arguments, as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="fly_orm_nats.") as folder:
        server = NatsProcess(folder, *arguments, **options)
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def nats_cluster():
    """Two servers that form a cluster."""
    with ExitStack() as undo:
        common = ["--cluster_name", "fly_orm", "--cluster", "nats://127.0.0.1:-1"]
        first = undo.enter_context(nats_server(*common))
        second = undo.enter_context(nats_server(*common, "--routes", first.ports["cluster"][0]))
        until(lambda: "Route connection created" in first.said() + second.said(), complaint=second.said)
        yield first, second
