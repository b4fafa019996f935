"""Files and folders stay small enough to be found and read."""

from __future__ import annotations

import ast

import pytest

from tests.project.sources import CODE, distributed, modules, where
from tests.support import ROOT


@pytest.mark.parametrize(("folders", "limit"), [(CODE, 350), (("examples",), 350), (("plugins", "tests"), 400)])
def test_no_file_is_too_long_to_hold_one_concept(folders, limit):
    lengths = {where(path): len(path.read_text().splitlines()) for path in modules(*folders)}
    assert {path: lines for path, lines in lengths.items() if lines > limit} == {}


def test_few_modules_of_the_core_are_in_no_folder():
    loose = {path.name for path in (ROOT / "fly_orm").glob("*.py")} - {"__init__.py"}
    assert len(loose) <= 12, sorted(loose)


def test_each_folder_says_what_it_is_for():
    silent = [path for path in distributed().values() if path.name == "__init__.py" and not documented(path)]
    assert [where(path) for path in silent] == []


def documented(path):
    return ast.get_docstring(ast.parse(path.read_text()))


def test_the_tests_of_a_folder_are_in_a_folder_of_that_name():
    code = {path.parent.name for path in (ROOT / "fly_orm").glob("*/__init__.py")}
    tests = {path.parent.name for path in (ROOT / "tests").glob("*/__init__.py")}
    assert code <= tests
    assert tests - code == {
        "bench",
        "chaos",
        "conformance",
        "fuzz",
        "hunt",
        "matrix",
        "project",
        "releasing",
        "support",
        "transports",
        "typed",
    }


def test_no_module_of_tests_replaces_a_fixture_that_every_test_uses():
    common = [path for path in modules("tests", "plugins") if path.name == "fixtures.py"]
    names = {name for path in [ROOT / "tests" / "conftest.py", *common] for name in used_by_all(path)}
    assert "_anew" in names
    others = {path for path in modules("tests", "plugins") if path.name.startswith(("test_", "conftest"))}
    others.discard(ROOT / "tests" / "conftest.py")
    assert {where(path): used_by_all(path) & names for path in others if used_by_all(path) & names} == {}


def used_by_all(path):
    """The names of a module's fixtures that its tests use without asking for them."""
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    return {node.name for node in functions if any("autouse" in ast.unparse(line) for line in node.decorator_list)}
