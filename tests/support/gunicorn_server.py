"""A running gunicorn with the application of ``gunicorn_app``, as tests look at it."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import urlopen

from tests.support import ROOT
from tests.support.nodes import environment_in, url
from tests.support.two_regions import TwoRegions
from tests.support.waiting import PATIENCE, until

#: Names the connections of the application.
NAME = "unicorn"


class Gunicorn:
    """A running gunicorn, and what it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reader = threading.Thread(target=lambda: self.lines.extend(iter(process.stderr.readline, "")))  # type: ignore[union-attr]
        self._reader.start()
        until(lambda: self._said(r"Listening at: (\S+)") or process.poll() is not None)
        self.address = str(self._said(r"Listening at: (\S+)"))
        assert process.poll() is None, "".join(self.lines)

    def _said(self, pattern: str) -> str | None:
        return next((found[1] for line in list(self.lines) if (found := re.search(pattern, line))), None)

    def post(self, title: str) -> tuple[int, int, str]:
        """The process that has written, how many posts with this title it has then seen, and where it has read."""
        in_transaction = "&transaction=yes" if title.endswith("0") else ""
        with urlopen(f"{self.address}/?title={title}{in_transaction}", timeout=PATIENCE) as response:
            pid, stored, route = response.read().decode().split()
        return int(pid), int(stored), route

    def stop(self) -> None:
        """End it as a deploy does, and check that it ends in order."""
        self.process.terminate()
        assert self.process.wait(PATIENCE) == 0

    def close(self) -> None:
        """End it at once, if it has not ended."""
        self.process.kill()
        self.process.wait()
        self._reader.join(PATIENCE)
        self.process.stderr.close()  # type: ignore[union-attr]


@contextmanager
def gunicorn(
    regions: TwoRegions, *options: str, region: str = "lax", module: str = "gunicorn_app", **variables: str
) -> Iterator[Gunicorn]:
    """Two workers that run the application of a module of ``tests.support``, as long as the block lasts."""
    server = regions.cluster.replica if region == "lax" else regions.cluster.primary
    nodes = f"syd={regions.wan.address}"
    given = {
        **environment_in(region),
        "FLY_ORM_NODES": nodes,
        "DATABASE_URL": "postgresql+pool"
        + url(server, regions.name).removeprefix("postgresql")
        + f"&application_name={NAME}",
        **variables,
    }
    command = [sys.executable, "-m", "gunicorn", "-b", "127.0.0.1:0", "-w", "2", "-k", "gthread", "--threads", "2"]
    process = subprocess.Popen(
        [*command, *options, f"tests.support.{module}:application"],
        cwd=ROOT,
        env=given,
        stderr=subprocess.PIPE,
        text=True,
    )
    running = Gunicorn(process)
    try:
        yield running
    finally:
        running.close()
