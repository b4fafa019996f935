"""The plug-in for pytest, in runs of pytest of their own, as users have them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.support import ROOT
from tests.support.nodes import plain_environment

PROJECT = ROOT / "examples" / "tested_shop"
PAGE = ROOT / "docs" / "testing.md"


def run(*arguments, folder=PROJECT, **variables):
    """The output and the exit status of pytest, without what the outer run has set."""
    environment = {name: value for name, value in plain_environment().items() if not name.startswith("PYTEST_")}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", *arguments],
        cwd=folder,
        env={**environment, **variables},
        capture_output=True,
        text=True,
    )
    return ran.stdout + ran.stderr, ran.returncode


def test_the_example_project_passes_its_tests():
    said, status = run("-q")
    assert status == 0, said
    assert "7 passed" in said


@pytest.mark.slow
def test_the_test_of_the_page_passes(tmp_path):
    snippet = re.search(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)[1]
    project = shutil.copytree(PROJECT, tmp_path / "project")
    (project / "tests" / "test_shop.py").write_text(snippet)
    said, status = run("-q", folder=project)
    assert (status, "1 passed" in said) == (0, True), said


@pytest.mark.slow
def test_with_two_replicas_on_two_processes():
    said, status = run("-q", "-n", "2", "-o", "fly_orm_replicas=2", "-o", "fly_orm_rtt=0")
    assert status == 0, said
    assert "7 passed" in said


def test_nothing_starts_where_no_test_runs():
    said, status = run("--collect-only", "-q", PATH="/nowhere", PG_BIN="/nowhere")
    assert (status, "7 tests collected" in said) == (0, True), said


@pytest.mark.slow
def test_an_application_that_does_not_start_is_named_once(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\nfly_orm_databases = absent:db\n")
    said, status = run(folder=tmp_path)
    assert status == pytest.ExitCode.USAGE_ERROR
    assert "the node did not start" in said
    assert "absent" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_without_the_option_nothing_happens_and_the_fixtures_work_all_the_same(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_one.py").write_text(
        "import os, fly_orm.testing\n"
        "def test_off(): assert 'FLY_REGION' not in os.environ\n"
        "def test_on(fly_orm_regions): assert fly_orm_regions.replicas[0].query('SELECT pg_is_in_recovery()')\n"
    )
    said, status = run("-q", folder=tmp_path)
    assert (status, "2 passed" in said) == (0, True), said


def test_numbers_have_to_be_numbers():
    said, status = run("-o", "fly_orm_rtt=fast")
    assert status == pytest.ExitCode.USAGE_ERROR
    assert "fly_orm_rtt and fly_orm_replicas are numbers" in said
    assert os.environ.get("FLY_REGION") is None
