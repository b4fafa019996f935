"""Nodes of the test application as processes of their own, and this process as one of another region."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import ROOT, forking, two_regions
from tests.support.forking import Forked
from tests.support.two_regions import SECRET


def plain_environment() -> dict[str, str]:
    """The environment, without what says where this process runs."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("FLY_", "PRIMARY_"))}


def environment_in(region: str) -> dict[str, str]:
    """The environment of a process that runs in a region."""
    return {**plain_environment(), "PRIMARY_REGION": "syd", "FLY_REGION": region, "FLY_ORM_SECRET": SECRET}


class NodeProcess:
    """A running ``fly-orm serve``, forked unless it is to run another Python, or ``fresh`` asks for a new one."""

    def __init__(
        self, *arguments: str, folder: Path = ROOT, python: str | Path = "", fresh: bool = False, **variables: str
    ) -> None:
        environment = {**environment_in("syd"), **two_regions.way.variables(), **variables}
        self.process: subprocess.Popen[str] | Forked
        if forking.IS_POSSIBLE and not (python or fresh):
            self.process = Forked("serve", *arguments, folder=folder, environment=environment)
        else:
            self.process = subprocess.Popen(
                [python or sys.executable, "-m", "fly_orm", "serve", *arguments],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def address(self) -> str:
        """Where it serves, once it does."""
        self.announced = self.process.stdout.readline()
        assert self.announced.startswith("fly-orm: serving"), self.process.stderr.read()
        return self.announced.split()[-1]

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def node_process(
    *arguments: str, folder: Path = ROOT, python: str | Path = "", fresh: bool = False, **variables: str
) -> Iterator[NodeProcess]:
    """A node as long as the block lasts."""
    node = NodeProcess(*arguments, folder=folder, python=python, fresh=fresh, **variables)
    try:
        yield node
    finally:
        node.kill()


def url(server: object, database: str) -> str:
    """The address of a database, as applications are given it."""
    return f"postgresql://postgres@/{database}?host={server.host}&port={server.port}"
