"""The documentation as a site: it builds without a warning, needs nothing from elsewhere, and leaves nothing out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module

import pytest

import fly_orm
from fly_orm.cli.command_line import COMMANDS
from fly_orm.settings import VARIABLES
from tests.support import ROOT

pytestmark = pytest.mark.slow
#: The modules whose names the reference has besides those of ``fly_orm``.
BESIDES = (
    "fly_orm.web",
    "fly_orm.prometheus",
    "fly_orm.otel",
    "fly_orm.testing",
    "fly_orm.discovery",
    "fly_orm.adapters.base",
)
#: What a browser would load by itself.
LOADED = re.compile(r"""<(?:img|script|link|iframe|source)\b[^>]*?\b(?:src|href)=["']?((?:https?:)?//[^"'\s>]+)""")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (built.returncode, "WARNING" in built.stderr) == (0, False), built.stderr
    return folder


def pages(site):
    return {path.relative_to(site).as_posix(): path.read_text() for path in site.rglob("*.html")}


def test_every_page_of_the_repository_is_in_the_site(site):
    docs = {path.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    named = {page.replace("README.html", "index.html") for page in docs}
    assert named <= pages(site).keys()


def test_a_browser_loads_nothing_from_elsewhere(site):
    found = {page: LOADED.findall(html) for page, html in pages(site).items()}
    assert {page: urls for page, urls in found.items() if urls} == {}
    assert (site / "search" / "search_index.js").exists()


def test_the_reference_has_all_names_variables_and_commands(site):
    shown = {page: re.sub(r"<(?!h\d)[^>]*>", "", html) for page, html in pages(site).items()}
    assert {name for name in fly_orm.__all__ if f'id="fly_orm.{name}"' not in shown["api.html"]} == set()
    others = {f"{module}.{name}" for module in BESIDES for name in import_module(module).__all__}
    assert {name for name in others if f'id="{name}"' not in shown["api.html"]} == set()
    assert {name for name in VARIABLES if name not in shown["settings.html"]} == set()
    assert {each.NAME for each in COMMANDS if f"fly-orm {each.NAME} --help" not in shown["command-line.html"]} == set()


def test_names_in_docstrings_are_shown_without_the_roles_that_mark_them(site):
    assert re.findall(r":(?:class|func|meth|attr):", pages(site)["api.html"]) == []
