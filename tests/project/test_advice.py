"""The commands that texts of the code advise work, whether fly_orm was installed from a clone or from a wheel."""

from __future__ import annotations

import ast
import configparser
import re

from fly_orm.cli.command_line import make_parser
from tests.project.sources import CODE, modules, where
from tests.support import ROOT

FOLDERS = (*CODE, "plugins", "examples")


def texts():
    """Each text of the code, the parts of f-strings included, with the file that has it."""
    for path in modules(*FOLDERS):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "tests" not in path.parts:
                yield where(path), node.value


def requirements():
    """What the extras of all distributions require, as pip takes it."""
    found = set()
    for path in [ROOT / "setup.cfg", *ROOT.glob("plugins/*/setup.cfg")]:
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(path)
        for extra in parser["options.extras_require"].values():
            found |= {line.replace(" ", "") for line in extra.splitlines()}
    return found


def extras_of_the_clone():
    """The extras of fly_orm itself, as somebody in a clone installs them."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg")
    return {f".[{extra}]" for extra in parser["options.extras_require"]}


def test_what_is_to_be_installed_needs_no_index_that_has_fly_orm():
    advised = {(file, name) for file, text in texts() for name in re.findall(r"pip install '([^']+)'", text)}
    assert len(advised) > 5
    assert {(file, name) for file, name in advised if name not in requirements() | extras_of_the_clone()} == set()


def test_every_command_that_is_advised_exists():
    parser = make_parser()
    advised = {(file, command) for file, text in texts() for command in re.findall(r"`fly-orm ([a-z]+)", text)}
    assert len(advised) > 8
    known = next(action.choices for action in parser._actions if action.choices)
    assert {(file, command) for file, command in advised if command not in known} == set()
