"""The pages for contributors name files, classes and functions that exist, and the map of the folders is complete."""

from __future__ import annotations

import ast
import builtins
import re
from functools import cache

import pytest

from tests.project.test_layering import LAYERS
from tests.support import ROOT

ARCHITECTURE = ROOT / "docs" / "architecture.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
GLOSSARY = ROOT / "docs" / "glossary.md"
PAGES = pytest.mark.parametrize("page", [ARCHITECTURE, CONTRIBUTING, GLOSSARY], ids=lambda page: page.stem)

#: What looks like a path: it ends like a folder or a file. A name in the file may follow, after a colon.
_PATH = re.compile(r"`((?:[\w.-]+/)+(?:[\w.-]+\.\w+)?|[\w.-]+\.(?:py|md|cfg|toml))(?::([\w.]+))?`")
#: What looks like a class, or something in it.
_NAME = re.compile(r"`([A-Z]\w*[a-z]\w*(?:\.\w+)?)`")


def text_of(page):
    """The page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def found(path):
    """The file or folder of that name, which may leave out ``fly_orm/``; None if there is none."""
    return next((place / path for place in (ROOT / "fly_orm", ROOT) if (place / path).exists()), None)


@cache
def names_in(file):
    """The top-level names of a file, and of each class in it those of its attributes and methods."""
    tree = ast.parse(file.read_text())
    return {name: set(_attributes(node)) for node in tree.body for name in _defined(node)}


def _defined(node):
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (target.id for target in targets if isinstance(target, ast.Name))


def _attributes(cls):
    for node in ast.walk(cls) if isinstance(cls, ast.ClassDef) else ():
        yield from _defined(node)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


@cache
def classes():
    """All classes of the core, each with its attributes and methods."""
    merged = {}
    for file in sorted((ROOT / "fly_orm").rglob("*.py")):
        for name, attributes in names_in(file).items():
            merged.setdefault(name, set()).update(attributes)
    return merged


@PAGES
def test_every_path_that_the_page_names_exists(page):
    paths = _PATH.findall(text_of(page))
    assert paths
    assert not {path for path, _ in paths if found(path) is None}


@PAGES
def test_every_name_that_the_page_finds_in_a_file_is_there(page):
    references = [(found(path), name) for path, name in _PATH.findall(text_of(page)) if name]
    assert not {f"{file}:{name}" for file, name in references if file and not _has(names_in(file), name)}


@PAGES
def test_every_class_that_the_page_names_exists(page):
    names = {name for name in _NAME.findall(text_of(page)) if not hasattr(builtins, name.partition(".")[0])}
    assert not {name for name in names if not _has(classes(), name)}


def _has(names, name):
    owner, _, attribute = name.partition(".")
    return owner in names and (not attribute or attribute in names[owner])


def test_every_class_in_the_tree_of_objects_exists():
    tree = ARCHITECTURE.read_text().split("## Who holds what")[1].split("```")[1]
    names = set(re.findall(r"(?:→ |^ +)([A-Z]\w+)", tree, re.MULTILINE))
    assert names
    assert names <= classes().keys()


def test_the_page_lists_every_thread_by_its_name():
    listed = set(re.findall(r"`(fly_orm [a-z -]+(?:NAME)?)`", ARCHITECTURE.read_text()))
    started = set()
    for file in (ROOT / "fly_orm").rglob("*.py"):
        if "testing" not in file.parts:
            started |= set(re.findall(r'"(fly_orm [a-z -]+(?:\{name\})?)"', file.read_text()))
    assert listed == {name.replace("{name}", "NAME") for name in started}


def test_the_map_has_every_folder_in_the_layer_that_the_imports_keep():
    rows = re.findall(r"^\| (\d+) \| `([\w.]+)/?` \|", ARCHITECTURE.read_text(), re.MULTILINE)
    layers = [
        {name.removesuffix(".py") for number, name in rows if int(number) == layer + 1} for layer in range(len(LAYERS))
    ]
    assert layers == [set(names) for names in LAYERS]
