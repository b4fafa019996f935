"""An empty environment of some Python, into which what was built is installed by its name, and tested."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.releasing.requirements import metadata
from tests.support.environments import SOURCES
from tests.support.nodes import plain_environment

#: Fast tests of what depends on others' versions: values, the driver, both ORMs, tokens, and waiting for a replica.
SOME = (
    "tests/adapters",
    "tests/codec",
    "tests/driver",
    "tests/tokens",
    "tests/waiters",
    "plugins/fly-orm-psycopg2/tests",
)
#: Rules about the checkout, which has the code, while these environments have it installed.
_OF_THE_CHECKOUT = "tests/project"
_UV = Path(sys.executable).with_name("uv")
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
    seconds: float

    @property
    def good(self) -> bool:
        """Whether tests ran, and none failed."""
        return self.counts.get("passed", 0) > 0 and not set(self.counts) & {"failed", "error", "errors"}


def try_out(environment: Environment, archives: list[Path], folder: Path, tests: tuple[str, ...]) -> Outcome:
    """Install the distributions into an empty environment, and run the tests of the source distribution on it."""
    began = time.monotonic()
    python = _install(environment, archives, folder)
    tree = _tests(archives, folder)
    variables = plain_environment()
    variables["PATH"] += ":/usr/sbin"
    if environment.postgres:
        variables["PG_BIN"] = str(environment.postgres)
    command = [
        python,
        "-m",
        "pytest",
        "-q",
        "-m",
        "not slow",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        "--tb=short",
    ]
    command += ["--numprocesses", os.environ.get("WORKERS", "3"), "--dist", "loadfile"]
    ran = subprocess.run(
        [*command, "--ignore", _OF_THE_CHECKOUT, *tests], cwd=tree, env=variables, capture_output=True, text=True
    )
    counts = {word: int(number) for number, word in _COUNT.findall(ran.stdout.strip().rpartition("\n")[2])}
    return Outcome(counts=counts, output=ran.stdout[-8000:] + ran.stderr[-2000:], seconds=time.monotonic() - began)


def _install(environment: Environment, archives: list[Path], folder: Path) -> Path:
    python, constraints = folder / "env/bin/python", folder / "constraints"
    constraints.write_text("\n".join(environment.constraints))
    wheels = {path.name.partition("-")[0].replace("_", "-"): path for path in archives if path.suffix == ".whl"}
    extras = {metadata(source)["name"]: "dev" if source == SOURCES[0] else "test" for source in SOURCES}
    wanted = [f"{name}[{extra}] @ {wheels[name].as_uri()}" for name, extra in extras.items()]
    # With pip, which some tests install plug-ins with.
    _run(_UV, "venv", "--quiet", "--no-project", "--seed", "--python", environment.python, folder / "env")
    # As pip does. Otherwise what old packages are warned about when they are compiled would fail tests.
    _run(
        _UV,
        "pip",
        "install",
        "--quiet",
        "--compile-bytecode",
        "--python",
        python,
        "--constraints",
        constraints,
        *wanted,
    )
    _run(_UV, "pip", "check", "--quiet", "--python", python)
    return python


def _tests(archives: list[Path], folder: Path) -> Path:
    """The source distribution without the code, so that tests find what is installed."""
    [sources] = [path for path in archives if path.name.startswith("fly_orm-") and path.suffix == ".gz"]
    with tarfile.open(sources) as file:
        file.extractall(folder, filter="data")
    tree = folder / sources.name.removesuffix(".tar.gz")
    for code in [*tree.glob("fly_orm*"), *tree.glob("plugins/*/fly_orm*")]:
        _run("rm", "-r", code)
    return tree


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command[:4]))} … failed:\n{done.stdout}{done.stderr}")
