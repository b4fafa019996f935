"""Builds the distributions from what is committed: the same commit makes the same bytes."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.releasing.index_page import for_index
from tests.support import ROOT
from tests.support.environments import SOURCES


def build(into: Path) -> list[Path]:
    """The wheel and the source distribution of each distribution of this tree, as its last commit has it.

    Wheels are built from the source distributions, so that these are complete. In both, the README is what a package
    index can show.
    """
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fly-dist-") as name:
        stage(Path(name))
        for source in SOURCES:
            _build(Path(name, source.relative_to(ROOT)), into)
    return sorted([*into.glob("*.whl"), *into.glob("*.tar.gz")])


def stage(folder: Path) -> None:
    """What is committed, with READMEs for an index."""
    with tarfile.open(fileobj=io.BytesIO(_git("archive", "HEAD"))) as committed:
        committed.extractall(folder, filter="data")
    for source in SOURCES:
        where = source.relative_to(ROOT)
        readme = folder / where / "README.md"
        readme.write_text(for_index(readme.read_text(), where.as_posix()))


def committed_files() -> set[str]:
    """The files of the last commit, by their paths."""
    return set(_git("ls-tree", "-r", "--name-only", "-z", "HEAD").decode().split("\0")) - {""}


def _build(folder: Path, into: Path) -> None:
    moment = int(_git("log", "-1", "--format=%ct"))
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", into, folder],
        env={**os.environ, "SOURCE_DATE_EPOCH": str(moment)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{folder.name} cannot be built:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    for archive in into.glob("*.tar.gz"):
        _forget_when(archive, moment)


def _forget_when(archive: Path, moment: int) -> None:
    """Replace the times at which an archive's files were made, and who made them: setuptools keeps both."""
    plain = io.BytesIO()
    with tarfile.open(archive) as made, tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as same:
        for member in sorted(made.getmembers(), key=lambda each: each.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname, member.pax_headers = (
                moment,
                0,
                0,
                "",
                "",
                {},
            )
            same.addfile(member, made.extractfile(member) if member.isfile() else None)
    archive.write_bytes(gzip.compress(plain.getvalue(), mtime=moment))


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
