"""What must be true of distributions before anybody gets them."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path, PurePosixPath

from readme_renderer.markdown import render

from tests.releasing.archives import committed_files
from tests.support import ROOT

#: Committed files that are of use in a checkout alone.
_OF_THE_CHECKOUT = {".gitignore"}
_LINK = re.compile(r'\b(?:href|src)="([^"]*)"')


def complaints(archives: list[Path]) -> Iterator[str]:
    """What is wrong with the distributions, a line each."""
    commands = [["-m", "twine", "check", "--strict", *archives], ["-m", "basedpyright", "--pythonpath", sys.executable]]
    for command in commands:
        checked = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
        if checked.returncode:
            yield f"{command[1]}: {checked.stdout}{checked.stderr}"
    for archive in archives:
        if archive.suffix == ".whl":
            yield from _of_wheel(archive)
        elif archive.name.startswith("fly_orm-"):
            yield from _of_sources(archive)


def _of_sources(archive: Path) -> Iterator[str]:
    """The source distribution of fly_orm is the whole project."""
    with tarfile.open(archive) as file:
        has = {"/".join(PurePosixPath(name).parts[1:]) for name in file.getnames()}
    yield from (f"{archive.name} lacks {path}" for path in sorted(committed_files() - has - _OF_THE_CHECKOUT))


def _of_wheel(archive: Path) -> Iterator[str]:
    with zipfile.ZipFile(archive) as file:
        names = file.namelist()
        [metadata] = [name for name in names if name.endswith(".dist-info/METADATA")]
        described = message_from_bytes(file.read(metadata))
    packages = {PurePosixPath(name).parts[0] for name in names} - {PurePosixPath(metadata).parts[0]}
    if strangers := {each for each in packages if not each.startswith("fly_orm")}:
        yield f"{archive.name} installs {', '.join(sorted(strangers))}, which are not ours"
    for package in (each for each in packages if not each.endswith(".py")):
        if f"{package}/py.typed" not in names:
            yield f"{archive.name}: type checkers do not look into {package}, which has no py.typed"
    text = described.get_payload()
    for target in _LINK.findall(render(str(text)) or ""):
        if not target.startswith(("https://", "mailto:", "#")):
            yield f"{archive.name}: an index cannot resolve the link to {target}"
