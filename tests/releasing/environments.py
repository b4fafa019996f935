"""An empty environment of some Python, into which what was built is installed by its name, and tested."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.releasing.debian import NotToBeHad
from tests.releasing.subjects import Subject
from tests.support.nodes import plain_environment

#: Rules about the checkout, which has the code, while these environments have it installed.
_OF_THE_CHECKOUT = "tests/project"
_UV = Path(sys.executable).with_name("uv")
#: What uv exits with for errors that are not of its resolver.
_NO_INDEX = 2
_COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped)\b")


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What to try the distributions with."""

    version: str
    """Of Python."""
    python: Path
    constraints: tuple[str, ...] = ()
    """For the oldest versions of what they require; none for the newest."""
    postgres: Path | None = None
    """The folder of PostgreSQL's programs; None for those of the wheel."""

    @property
    def name(self) -> str:
        """What tells it from the others."""
        return f"Python {self.version}, {'oldest' if self.constraints else 'newest'} requirements"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How many tests did what, and what was said of failures."""

    counts: dict[str, int]
    output: str

    @property
    def good(self) -> bool:
        """Whether tests ran, and none failed."""
        return self.counts.get("passed", 0) > 0 and not set(self.counts) & {"failed", "error", "errors"}

    def __str__(self) -> str:
        return ", ".join(f"{number} {word}" for word, number in sorted(self.counts.items())) or "no test ran"


def try_out(environment: Environment, subject: Subject, folder: Path, tests: tuple[str, ...]) -> list[Outcome]:
    """Install the distributions into an empty environment, and run tests there; those that fail, once more and alone.

    What fails only while all cores are busy does not show that a version does not work. Returns the outcome of each
    run. NotToBeHad if nothing can be installed, as no index can be reached.
    """
    python, tree = _install(environment, subject, folder), subject.tree(folder)
    variables = plain_environment()
    variables["PATH"] += ":/usr/sbin"
    if environment.postgres:
        variables["PG_BIN"] = str(environment.postgres)
    command = [python, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:randomly", "--tb=short"]
    command += ["-o", f"cache_dir={folder / 'cache'}", "--ignore", _OF_THE_CHECKOUT, *tests]

    def run(*options: str) -> Outcome:
        ran = subprocess.run([*command, *options], cwd=tree, env=variables, capture_output=True, text=True)
        counts = {word: int(number) for number, word in _COUNT.findall(ran.stdout.strip().rpartition("\n")[2])}
        return Outcome(counts=counts, output=ran.stdout[-8000:] + ran.stderr[-2000:])

    first = run("--numprocesses", os.environ.get("WORKERS", "3"), "--dist", "loadfile")
    return [first] if first.good else [first, run("--last-failed", "--last-failed-no-failures", "none")]


def _install(environment: Environment, subject: Subject, folder: Path) -> Path:
    python, constraints = folder / "env/bin/python", folder / "constraints"
    constraints.write_text("\n".join(environment.constraints))
    # With pip, which some tests install plug-ins with.
    run_uv("venv", "--no-project", "--seed", "--python", environment.python, folder / "env")
    # As pip does. Otherwise what old packages are warned about when they are compiled would fail tests.
    options = ["--compile-bytecode", "--python", python, "--constraints", constraints]
    run_uv("pip", "install", *options, *subject.wanted())
    run_uv("pip", "check", "--python", python)
    return python


def run_uv(*arguments: str | Path) -> None:
    """Run uv. NotToBeHad if its index cannot be reached; SystemExit for any other failure."""
    trusting = {**os.environ, "UV_NATIVE_TLS": "true"}  # the authorities that the machine trusts, as pip does
    done = subprocess.run([_UV, *arguments, "--quiet"], env=trusting, capture_output=True, text=True)
    if done.returncode == _NO_INDEX:
        raise NotToBeHad(f"uv cannot reach its index: {done.stderr.strip()[-500:]}")
    if done.returncode:
        raise SystemExit(f"uv {' '.join(map(str, arguments[:3]))} … failed:\n{done.stdout}{done.stderr}")
