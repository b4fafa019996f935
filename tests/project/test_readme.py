"""The code of the README runs, and what it and the other pages say about names and defaults is so."""

from __future__ import annotations

import ast
import re
from importlib import import_module

import pytest

import fly_orm
from fly_orm import settings
from tests.support import ROOT
from tests.support.two_regions import SECRET

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
README = (ROOT / "README.md").read_text()
SETTINGS = (DOCS / "settings.md").read_text()
#: Pages whose code is that of one application, from the beginning of the README on.
APPLICATION = [ROOT / "README.md", DOCS / "setup.md", DOCS / "how-it-works.md"]
LONGEST_README = 150


@pytest.fixture
def in_lax(regions, monkeypatch):
    """The environment of a process in lax, in which "shop" is the test's database."""
    server = regions.cluster.replica.params(regions.name)
    variables = {
        "PRIMARY_REGION": "syd",
        "FLY_REGION": "lax",
        "FLY_ORM_NODES": f"syd={regions.wan.address}",
        "FLY_ORM_SECRET": SECRET,
        "FLY_ORM_LISTEN": "127.0.0.1:0",
        "PGHOST": server["host"],
        "PGPORT": str(server["port"]),
        "PGUSER": server["user"],
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_the_code_in_the_readme_and_in_what_goes_on_from_it_runs(regions, in_lax):
    namespace, wrapped = {"__name__": "shop"}, []
    for page in APPLICATION:
        for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
            exec(compile(block.replace('"shop"', repr(regions.name)), str(page), "exec"), namespace)
            wrapped.append(namespace["db"])
    assert namespace["user"].name == "ann"
    assert namespace["served"].route is fly_orm.Route.PRIMARY
    namespace["serving"].close()
    for db in {id(db): db for db in wrapped}.values():
        db.close()
        db._fly_orm.close()


def test_the_readme_takes_two_minutes():
    assert len(README.splitlines()) <= LONGEST_README


def test_the_settings_of_the_page_are_all_and_have_these_defaults():
    rows = dict(re.findall(r"^\| `(FLY_ORM_\w+)` \| `?([^|`]*?)`? \|", SETTINGS, re.MULTILINE))
    variables = {name: field for name, (field, _) in settings.VARIABLES.items() if field not in settings.LIMITS}
    assert set(rows) == set(variables)
    defaults = settings.Settings()
    for name, field in variables.items():
        value = getattr(defaults, field)
        shown = {False: "off", "": "none"}.get(value) if isinstance(value, bool | str) else None
        assert rows[name] == (shown or (f"{value:g}" if isinstance(value, float) else str(value or "none")))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_names_in_the_code_of_the_other_pages_exist(page):
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    prose = {
        "architecture",
        "coming-from",
        "conformance",
        "example",
        "faq",
        "glossary",
        "growth",
        "limitations",
        "limits",
        "releasing",
        "security",
        "settings",
    }
    assert blocks or page.parent.stem == "deploy" or page.stem in prose
    for block in blocks:
        for node in ast.parse(block, str(page)).body:
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("fly_orm"):
                for alias in node.names:
                    assert hasattr(import_module(str(node.module)), alias.name), alias.name
        for name in re.findall(r"(?<!from )(?<!\")\bfly_orm\.(\w+)", block):  # a logger is in quotes
            assert hasattr(fly_orm, name), name


@pytest.mark.parametrize(
    "page",
    [ROOT / "README.md", *ROOT.glob("examples/*/README.md"), *PAGES],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_the_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target
