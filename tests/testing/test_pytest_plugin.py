"""The plug-in for pytest, in runs of pytest of their own, as users have them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from argparse import Namespace

import pytest

from fly_orm.testing.purpose import distributes
from tests.support import ROOT
from tests.support.nodes import plain_environment

PROJECT = ROOT / "examples" / "tested_shop"
PAGE = ROOT / "docs" / "testing.md"
#: A second database of the shop, and a test that finds it empty each time.
STATS = """
stats = fly_orm.wrap(connect(os.environ["DATABASE_URL"], database="stats"))


class Hit(Model):
    class Meta:
        database = stats
"""
TWICE = """
import pytest
from shop import Hit, Product


@pytest.mark.parametrize("time", [1, 2])
def test_empty(time):
    assert Hit.select().count() == Product.select().count() == 0
    Hit.create()
    Product.create(name="tea", stock=1)
"""


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
def test_a_second_database_as_the_page_has_it(tmp_path):
    snippet = re.search(
        r"^```python\n(# conftest.py of an application with two.*?)^```", PAGE.read_text(), re.S | re.M
    )[1]
    project = shutil.copytree(PROJECT, tmp_path / "project")
    (project / "tests" / "conftest.py").write_text(snippet)
    with (project / "shop.py").open("a") as shop:
        shop.write(STATS)
    (project / "tests" / "test_shop.py").write_text(TWICE)
    said, status = run("-q", "-o", "fly_orm_databases=shop:db shop:stats", folder=project)
    assert (status, "2 passed" in said) == (0, True), said


@pytest.mark.slow
def test_with_two_replicas_on_two_processes():
    said, status = run("-q", "-n", "2", "-o", "fly_orm_replicas=2", "-o", "fly_orm_rtt=0")
    assert status == 0, said
    assert "7 passed" in said


def test_with_a_debugger_the_tests_run_in_the_process_that_pytest_xdist_would_distribute_them_from():
    said, status = run("-q", "-n", "auto", "--pdb", "-k", "takes_from_the_stock")
    assert (status, "1 passed" in said) == (0, True), said


@pytest.mark.parametrize(
    ("options", "variable", "distributed"),
    [
        ({}, "", False),
        ({"numprocesses": None, "dist": "no", "tx": []}, "", False),
        ({"numprocesses": None, "dist": "load", "tx": ["2*popen"]}, "", True),
        ({"numprocesses": None, "distload": True, "dist": "no", "tx": ["popen"]}, "", True),
        ({"numprocesses": None, "dist": "loadfile", "tx": []}, "", False),
        ({"numprocesses": 0}, "", False),
        ({"numprocesses": 2, "usepdb": False}, "0", True),
        ({"numprocesses": "auto", "usepdb": False}, "", True),
        ({"numprocesses": "auto", "usepdb": False}, "many", True),
        ({"numprocesses": "auto", "usepdb": True}, "", False),
        ({"numprocesses": "logical", "usepdb": False}, "0", False),
    ],
)
def test_it_is_known_beforehand_whether_the_tests_are_distributed(monkeypatch, options, variable, distributed):
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.setenv("PYTEST_XDIST_AUTO_NUM_WORKERS", variable)
    assert distributes(Namespace(**options)) is distributed


def test_whoever_decides_otherwise_later_is_told(tmp_path):
    project = shutil.copytree(PROJECT, tmp_path / "project")
    (project / "conftest.py").write_text("def pytest_xdist_auto_num_workers(config): return 0\n")
    said, status = run("-q", "-n", "auto", folder=project, PG_BIN="/nowhere")
    assert status == pytest.ExitCode.USAGE_ERROR
    assert "say -n 0 on the command line" in said


@pytest.mark.parametrize(
    "option", ["--collect-only", "--fixtures", "--fixtures-per-test", "--markers", "--setup-plan", "--version"]
)
def test_nothing_starts_where_no_test_runs(option):
    said, status = run(option, "-q", PATH="/nowhere", PG_BIN="/nowhere")
    assert status == 0, said
    if option == "--collect-only":
        assert "7 tests collected" in said


def test_nothing_starts_to_show_the_cache():
    said, status = run("-p", "cacheprovider", "--cache-show", PG_BIN="/nowhere")
    assert (status, "cachedir" in said) == (0, True), said


@pytest.mark.slow
def test_an_application_that_does_not_start_is_named_once(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\nfly_orm_databases = absent:db\n")
    said, status = run(folder=tmp_path)
    assert status == pytest.ExitCode.USAGE_ERROR
    assert "the node did not start" in said
    assert "absent" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_the_node_finds_what_the_tests_find_and_both_keep_the_variables_of_others(tmp_path):
    shutil.copytree(PROJECT / "tests", tmp_path / "tests")
    (tmp_path / "src").mkdir()
    key = "import os\nos.environ['PGP_KEY']\nassert 'PGUSER' not in os.environ\n"
    (tmp_path / "src" / "shop.py").write_text(key + (PROJECT / "shop.py").read_text())
    (tmp_path / "pytest.ini").write_text((PROJECT / "pytest.ini").read_text().replace("path = .", "path = src"))
    said, status = run("-q", "-k", "takes_from_the_stock", folder=tmp_path, PGP_KEY="k", PGUSER="me")
    assert (status, "1 passed" in said) == (0, True), said


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
