"""Which versions of Python this machine has."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from packaging.specifiers import SpecifierSet

from tests.releasing.debian import unpack
from tests.releasing.requirements import metadata
from tests.support import ROOT

_FETCHED = ROOT / "build/python"
#: Where pyenv and :func:`fetch` put them, besides the folders on the ``PATH``.
FOLDERS = ("~/.pyenv/versions/*/bin", f"{_FETCHED}/*/usr/bin")
#: Prints the version, if environments can be made with it.
_ASK = "import venv, sys, ssl, sqlite3; print('%d.%d' % sys.version_info[:2])"


def find_pythons() -> dict[str, Path]:
    """By version, from the oldest on, each Python that the distributions support."""
    supported = SpecifierSet(metadata(ROOT)["requires-python"])
    found: dict[str, Path] = {}
    for program in _candidates():
        version = _version(program)
        if version and version not in found and supported.contains(version):
            found[version] = program
    return dict(sorted(found.items(), key=lambda each: _order(each[0])))


def fetch_missing() -> None:
    """Unpack each version that the distributions name and this machine lacks; NotToBeHad for one that nobody has."""
    named = re.findall(r"Python :: (3\.\d+)", metadata(ROOT)["classifiers"])
    for version in sorted(set(named) - find_pythons().keys(), key=_order):
        folder, name = _FETCHED / version, f"python{version}"
        packages = (name, f"{name}-minimal", f"{name}-venv")
        unpack(folder, *packages, programs=[folder / "usr/bin" / name])


def _order(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _candidates() -> Iterator[Path]:
    on_path = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep)]
    elsewhere = [found for pattern in FOLDERS for found in _glob(pattern)]
    for folder in [*elsewhere, *on_path]:
        yield from sorted(path for path in folder.glob("python3.*") if re.fullmatch(r"python3\.\d+", path.name))


def _glob(pattern: str) -> list[Path]:
    expanded = Path(pattern).expanduser()
    return sorted(Path(expanded.anchor).glob(str(expanded.relative_to(expanded.anchor))), reverse=True)


def _version(program: Path) -> str | None:
    """What it says, or None: a launcher of pyenv's, for one, may have nothing to launch."""
    try:
        asked = subprocess.run([program, "-I", "-c", _ASK], capture_output=True, text=True, timeout=60)
    except OSError:
        return None
    return asked.stdout.strip() if asked.returncode == 0 else None
