"""What is released is complete, and its pages lead nowhere that a package index cannot resolve."""

from __future__ import annotations

import re
import sys

import pytest
from packaging.version import Version

from tests.releasing.debian import NotToBeHad
from tests.releasing.environments import run_uv
from tests.releasing.index_page import for_index
from tests.releasing.requirements import metadata, oldest, required
from tests.releasing.subjects import FEW, SOME
from tests.support import ROOT
from tests.support.environments import SOURCES

README = """\
See [the limits](../docs/limits.md#rows), [docs/limits.md](../docs/limits.md), [fly_orm](../README.md),
[Postgres](https://postgresql.org) and [below](#below).

![a
picture](x.svg)

```python
items[0](x)
```
"""
SHOWN = """\
See the limits [`docs/limits.md`], docs/limits.md, fly_orm,
[Postgres](https://postgresql.org) and [below](#below).

```python
items[0](x)
```
"""
BOUNDS = {"cryptography"}  # releases a new major version every few weeks
#: Two are the examples of pages that keep them as short as possible.
CLASSIFIED = [source for source in SOURCES if metadata(source)["classifiers"]]


def test_an_index_shows_paths_in_place_of_links_and_leaves_pictures_out():
    assert for_index(README, "plugins") == SHOWN


@pytest.mark.parametrize("source", SOURCES, ids=lambda folder: folder.name)
def test_no_link_of_a_readme_is_left_that_an_index_cannot_resolve(source):
    shown = for_index((source / "README.md").read_text(), source.name)
    assert re.findall(r"\]\((?!https:|#)[^)]*\)|(?:src|href)=.(?!https:)\S+", shown) == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda folder: folder.name)
def test_what_a_distribution_requires_has_bounds(source):
    bounds = {each.name: {bound.operator for bound in each.specifier} for each in required(source)}
    assert {name for name, found in bounds.items() if not found >= {">=", "<"}} <= BOUNDS


@pytest.mark.parametrize("source", CLASSIFIED, ids=lambda folder: folder.name)
def test_a_distribution_names_the_versions_of_python_that_it_supports(source):
    named = [re.findall(r"Python :: (3\.\d+)", metadata(folder)["classifiers"]) for folder in (source, SOURCES[0])]
    assert named[0] == named[1]
    assert metadata(source)["requires-python"] == f">={named[1][0]}"


def test_the_oldest_requirements_are_those_that_all_distributions_allow():
    pinned = dict(each.split("==") for each in oldest(SOURCES))
    assert {"peewee", "pony", "psycopg2-binary"} <= pinned.keys()
    for source in SOURCES:
        for requirement in required(source):
            version = pinned.get(requirement.name)
            assert version is None or requirement.specifier.contains(Version(version)), requirement


def test_the_tests_that_it_names_are_there():
    assert [name for name in (*FEW, *SOME) if not (ROOT / name).exists()] == []


def test_an_index_that_cannot_be_reached_is_told_apart_from_requirements_that_nothing_fulfils(monkeypatch):
    for name, value in (("INDEX_URL", "http://127.0.0.1:9/simple"), ("HTTP_RETRIES", "0"), ("NO_CACHE", "1")):
        monkeypatch.setenv(f"UV_{name}", value)
    install = ("pip", "install", "--dry-run", "--python", sys.executable, "fly-orm-that-nobody-has")
    with pytest.raises(NotToBeHad, match="uv cannot reach its index"):
        run_uv(*install)
    with pytest.raises(SystemExit, match="No solution found"):
        run_uv(*install, "--no-index")
