"""What is installed and tested: the distributions as they were built, or the checkout as it is."""

from __future__ import annotations

import subprocess
import tarfile
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tests.releasing.requirements import TOOLS, extras, metadata
from tests.support import ROOT
from tests.support.environments import SOURCES

#: Fast tests of what depends on others' versions: values, the driver, both ORMs, tokens, and waiting for a replica.
SOME = (
    "tests/adapters",
    "tests/codec",
    "tests/driver",
    "tests/tokens",
    "tests/waiters",
    "plugins/fly-orm-psycopg2/tests",
)
#: Half a minute of what differs between versions: SQL, values, descriptors, waiting for a replica, models.
FEW = (
    "tests/classify/test_against_postgres.py",
    "tests/codec/test_types.py",
    "tests/functions/test_methods.py",
    "tests/functions/test_registering.py",
    "tests/waiters/test_waiters.py",
    "plugins/fly-orm-django/tests/test_django_functions.py",
    "plugins/fly-orm-sqlalchemy/tests/test_functions.py",
)
#: All of the tests; what is slow is left out.
EVERY = ("tests", *(f"{source.relative_to(ROOT)}/tests" for source in SOURCES[1:]))
#: What these tests take besides the extras for users.
_TOOLS = ("hypothesis", "psutil", "pytest-timeout", "pytest-xdist")


class Subject(Protocol):
    """The distributions in some form, and their tests."""

    @abstractmethod
    def wanted(self) -> list[str]:
        """What uv is to install."""

    @abstractmethod
    def tree(self, folder: Path) -> Path:
        """Where to run the tests. What is not there yet is put into ``folder``."""


class Archives(Subject):
    """Wheels, and the source distribution with the tests."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    def wanted(self) -> list[str]:
        wheels = {path.name.partition("-")[0].replace("_", "-"): path for path in self._paths if path.suffix == ".whl"}
        extra = {metadata(source)["name"]: "dev" if source == SOURCES[0] else "test" for source in SOURCES}
        return [f"{name}[{each}] @ {wheels[name].as_uri()}" for name, each in extra.items()]

    def tree(self, folder: Path) -> Path:
        """The source distribution without the code, so that tests find what is installed."""
        [sources] = [path for path in self._paths if path.name.startswith("fly_orm-") and path.suffix == ".gz"]
        with tarfile.open(sources) as file:
            file.extractall(folder, filter="data")
        tree = folder / sources.name.removesuffix(".tar.gz")
        for code in [*tree.glob("fly_orm*"), *tree.glob("plugins/*/fly_orm*")]:
            subprocess.run(["rm", "-r", code], check=True)
        return tree


class Checkout(Subject):
    """This tree, which need not be built first."""

    def wanted(self) -> list[str]:
        used = ",".join(extra for extra in extras(ROOT) if extra == "testing" or extra not in TOOLS)
        named = [f"{ROOT}[{used}]", *(f"{source}[test]" for source in SOURCES[1:])]
        return [*(part for each in named for part in ("--editable", each)), *_TOOLS]

    def tree(self, folder: Path) -> Path:
        return ROOT
