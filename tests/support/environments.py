"""Virtual environments outside the tree, and wheels to install into them."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import venv
import zipfile

import pytest

from tests.support import ROOT
from tests.support.nodes import plain_environment

#: The distributions that live in this tree.
SOURCES = [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/setup.cfg"))]
_NOT_SOURCES = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "plugins", "tests")
_UNREACHABLE = ("NewConnectionError", "Connection to", "name resolution")


def build(folder):
    """The wheels of this tree's distributions, built from copies of their sources."""
    copies = []
    for number, source in enumerate(SOURCES):
        copies.append(shutil.copytree(source, folder / str(number), ignore=_NOT_SOURCES))
    pip("wheel", "--no-deps", "--wheel-dir", folder / "wheels", *copies)
    return sorted((folder / "wheels").iterdir())


def pip(*arguments, python=sys.executable):
    """Run a Python's pip; without the network the test is skipped, or fails where CI is set."""
    command = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        if not os.environ.get("CI") and any(words in done.stderr for words in _UNREACHABLE):
            pytest.skip("pip cannot reach its index")
        pytest.fail(f"pip {arguments[0]}: {done.stderr}")


def wheel(folder, name, entry_points="", *, group="fly_orm.transports", **modules):
    """A wheel of a distribution that consists of these modules and provides these plug-ins, by default transports."""
    info = f"{name.replace('-', '_')}-1.0.dist-info"
    contents = {f"{module}.py": code for module, code in modules.items()}
    contents[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    contents[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    contents[f"{info}/entry_points.txt"] = f"[{group}]\n{entry_points}\n"
    record = "".join(f"{path},sha256={_digest(text)},{len(text.encode())}\n" for path, text in contents.items())
    contents[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    path = folder / f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        for name, text in contents.items():
            file.writestr(name, text)
    return path


def _digest(text):
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


class Environment:
    """A virtual environment into which wheels are installed, and what is installed in another one if one is given."""

    def __init__(self, folder, wheels, *options, under=None):
        self.folder = folder
        venv.create(folder, symlinks=True, with_pip=under is None)
        self.python = folder / "bin" / "python"
        if under is not None:
            (self.site / "under.pth").write_text(f"{under.site}\n")
        pip("install", *options, *wheels, python=self.python)

    @property
    def site(self):
        """Where its packages are."""
        return next((self.folder / "lib").glob("python*/site-packages"))

    def run(self, *arguments, folder, **variables):
        """Run its Python outside the tree, and return the finished process."""
        return subprocess.run(
            [self.python, *arguments],
            cwd=folder,
            env={**plain_environment(), **variables},
            capture_output=True,
            text=True,
            timeout=60,
        )
