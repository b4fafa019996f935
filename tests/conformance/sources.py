"""Source distributions, whose tests their wheels do not have."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

from tests.support import ROOT

_FOLDER = ROOT / "build" / "conformance"


def fetch(package: str, version: str) -> Path:
    """The folder of the unpacked sources of a release, which pip downloads if they are not there yet."""
    folder = _FOLDER / f"{package}-{version}"
    if not folder.exists():
        _FOLDER.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", package]
        subprocess.run([*command, "--dest", _FOLDER, f"{package}=={version}"], check=True, stdout=sys.stderr)
        with tarfile.open(_FOLDER / f"{package}-{version}.tar.gz") as archive:
            archive.extractall(_FOLDER, filter="data")
    return folder
