"""Which functions other nodes may call, and by what name."""

from __future__ import annotations

import importlib
import subprocess
import sys
from inspect import signature
from pathlib import Path

import pytest
from pony import orm

import fly_orm
from fly_orm import ConfigurationError
from fly_orm.functions import registering as functions
from fly_orm.functions.registering import find, register, registered
from tests.support import ROOT


def plain(a, b=2):
    return a, b


async def coroutine():
    pass


def generator():
    yield 1


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    monkeypatch.setattr(functions, "_by_name", dict(functions._by_name))
    monkeypatch.setattr(functions, "_by_code", dict(functions._by_code))


def test_a_function_is_found_by_its_module_and_qualified_name():
    assert fly_orm.remote(plain) is plain
    assert find(f"{__name__}:plain").code is plain
    assert registered(plain).name == f"{__name__}:plain"
    assert plain(1) == (1, 2)


def test_or_by_the_name_that_it_is_given():
    fly_orm.remote(name="plain")(plain)
    assert find("plain").code is plain
    assert find(f"{__name__}:plain") is None


def test_one_that_is_not_registered_is_refused_with_what_to_do():
    with pytest.raises(ConfigurationError, match=r"plain is not registered: decorate it with @fly_orm\.remote"):
        fly_orm.call(fly_orm.PRIMARY, plain, 1)


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (lambda: 1, "a lambda has no name"),
        (coroutine, "it is a coroutine"),
        (generator, "it is a generator"),
        (len, "only a function"),
        (Path, "only a function"),
    ],
)
def test_what_other_nodes_could_not_call_is_refused_when_it_is_decorated(code, problem):
    for decorate in (fly_orm.remote, fly_orm.on_primary):
        with pytest.raises(ConfigurationError, match=problem):
            decorate(code)


class First:
    @fly_orm.on_primary
    @orm.db_session
    def method(self):
        pass


class Second:
    @fly_orm.on_primary
    @orm.db_session
    def method(self):
        pass


def test_methods_in_a_db_session_have_their_class_in_their_names():
    assert [each.method.function.name for each in (First, Second)] == [
        f"{__name__}:First.method",
        f"{__name__}:Second.method",
    ]


def test_what_is_above_a_class_method_may_be_below_it():
    for decorate in (fly_orm.on_primary, fly_orm.remote):
        for kind in (classmethod, staticmethod):
            assert isinstance(decorate(kind(plain)), kind)
            assert find(f"{__name__}:plain").code is plain


LATER = """
import fly_orm

class Till:
    @fly_orm.on_primary
    @classmethod
    def opened(cls, number: Number) -> Till:
        return cls()

@fly_orm.remote
def visit(till: Till) -> Never: pass

@fly_orm.carried
def job(till: Till) -> Never: pass
"""


@pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are evaluated at once")
def test_annotations_may_name_what_is_defined_later_or_never(tmp_path, monkeypatch):
    (tmp_path / "later.py").write_text(LATER)
    monkeypatch.syspath_prepend(tmp_path)
    later = importlib.import_module("later")
    assert isinstance(later.Till.opened(1), later.Till)
    assert list(signature(later.Till.opened).parameters) == ["number"]
    assert list(signature(later.job).parameters) == ["till", "fly_orm_token"]


def test_a_closure_is_refused():
    def inner():
        pass

    with pytest.raises(ConfigurationError, match="inside another function"):
        fly_orm.on_primary(inner)


def test_two_functions_of_one_name_are_refused_and_one_defined_anew_is_not():
    register(plain, "a")
    with pytest.raises(ConfigurationError, match=rf"two functions, {__name__}:plain and {__name__}:test_two"):
        register(test_two_functions_of_one_name_are_refused_and_one_defined_anew_is_not, "a")
    again = type(plain)(plain.__code__, {}, "plain")
    again.__module__, again.__qualname__ = plain.__module__, plain.__qualname__
    assert register(again, "a").code is again
    assert find("a").code is again


def test_a_decorated_function_shows_as_itself():
    decorated = fly_orm.on_primary(plain)
    assert (decorated.__name__, decorated.__wrapped__, decorated.local) == ("plain", plain, plain)
    assert repr(decorated) == f"<on_primary {__name__}:plain>"


@pytest.mark.parametrize("options", [{"wait": "maybe"}, {"timeout": -1}, {"timeout": "60"}])
def test_options_are_checked_when_it_is_decorated(options):
    with pytest.raises(ValueError, match=r"maybe|timeout"):
        fly_orm.on_primary(**options)


@pytest.mark.parametrize("arguments", [["program.py"], ["-m", "program"]])
def test_the_main_module_is_known_by_the_name_that_other_processes_import(tmp_path, arguments):
    (tmp_path / "program.py").write_text(
        "import fly_orm\n@fly_orm.remote\ndef f(): pass\n"
        "from fly_orm.functions.registering import names\nprint(names())"
    )
    root = str(ROOT)
    shown = subprocess.run(
        [sys.executable, *arguments], cwd=tmp_path, env={"PYTHONPATH": root}, capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "['program:f']"
