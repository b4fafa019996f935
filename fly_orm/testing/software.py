"""Runs PostgreSQL's programs as the right user."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fly_orm.errors import ConfigurationError

from .binaries import PROGRAMS, Binaries
from .folder import Folder


@dataclass(frozen=True, kw_only=True)
class Software:
    """PostgreSQL's programs, and the folder that they work in."""

    programs: Path
    folder: Folder

    def start(self, program: str, *arguments: str, output: int | IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a program, in a session of its own and without this process's environment."""
        account = self.folder.account
        with self.folder.in_use() as file:
            return subprocess.Popen(  # noqa: S603
                [str(self.programs / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder.path,
                env={"PATH": os.defpath, "LC_ALL": "C"},  # not the caller's PGHOST, PGOPTIONS and the like
                start_new_session=True,  # Ctrl-C goes to the tests only
                pass_fds=[file],
                **(account.popen_options if account else {}),
            )

    def run(self, program: str, *arguments: str) -> None:
        """Run a program to its end; RuntimeError, with its output, if it fails."""
        process = self.start(program, *arguments, output=subprocess.PIPE)
        said, _ = process.communicate()
        if process.returncode:
            raise RuntimeError(f"{program} failed ({process.returncode}): {said.decode(errors='replace').strip()}")


def install(binaries: Binaries, folder: Folder) -> Software:
    """The programs, ready to run as the folder's account.

    They are copied into the folder if the account cannot reach the originals. ConfigurationError if that does not help.
    """
    software = Software(programs=binaries.folder, folder=folder)
    if folder.account is None or _works(software):
        return software
    copied = Software(programs=_copy(binaries.folder, folder), folder=folder)
    if not _works(copied):
        raise ConfigurationError(
            f"PostgreSQL does not run as root, and the user 'nobody' can neither reach {binaries.folder} nor run a "
            "copy of it; run the tests as another user, or set PG_BIN to a folder that every user can read"
        )
    return copied


def _works(software: Software) -> bool:
    try:
        for program in PROGRAMS:
            software.run(program, "--version")
    except (OSError, RuntimeError):
        return False
    return True


def _copy(programs: Path, folder: Folder) -> Path:
    """The folder of programs in a private copy of the installation, with the libraries that a wheel keeps beside it."""
    installation = programs.parent
    package = installation.parent
    copy = folder.path / "software"
    target = copy / package.name / installation.name
    for part in ("bin", "lib", "share"):
        if (installation / part).is_dir():
            shutil.copytree(installation / part, target / part, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, copy / libraries.name)
    _let_read(copy)
    return target / programs.name


def _let_read(copy: Path) -> None:
    """Let every user who can enter the folder read the copy, even if the original was installed with a strict umask."""
    for path in (copy, *copy.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o055 if mode & 0o100 else 0o044))
