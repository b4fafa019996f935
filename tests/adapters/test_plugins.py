"""Adapters are plug-ins: found by entry point, and loaded when the first object of theirs is wrapped."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import peewee
import pytest

import fly_orm
from fly_orm.adapters import loading
from fly_orm.adapters.base import Adapter, WrappedDatabase
from fly_orm.codec import decode_error, encode_error
from fly_orm.codec.exceptions import classes as exception_classes
from tests.support import ROOT
from tests.support.environments import pip, wheel
from tests.support.nodes import plain_environment

#: A library, and its adapter in a module of its own.
LIBRARY = """
class Database:
    router = None

def broken():
    raise RuntimeError("not today")
"""
ADAPTER = """
from fly_orm.adapters.base import Adapter, Router, WrappedDatabase

class Wrapped(WrappedDatabase):
    def name(self): return "shop"
    def connect(self): raise NotImplementedError
    def in_transaction(self): return False
    def close_thread_connections(self): pass

class ShopAdapter(Adapter):
    def wrap(self, database, options):
        database.router = database.router or Router(Wrapped(), options)
        return database
    def router_of(self, database): return database.router
    def why_unrouted(self, database): return "it is closed"
    def exception_packages(self): return ("shop_orm",)
"""
VISIT = """
import sys
import fly_orm
import shop_orm

class Own(shop_orm.Database):
    "An application's subclass, in a module that has no adapter."

before = "shop_adapter" in sys.modules
database = Own()
assert fly_orm.wrap(fly_orm.wrap(database)) is database
print(before, database.router.name, {"peewee", "pony", "shop_adapter"} & set(sys.modules))
"""


@pytest.fixture
def python(tmp_path):
    """Runs code in a process that has these wheels installed besides."""

    def run(code: str, *wheels: Any) -> Any:
        site = tmp_path / "site"
        if wheels:
            pip("install", "--no-deps", "--no-index", "--target", site, *wheels)
        path = os.pathsep.join(map(str, (site, ROOT)))
        return subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={**plain_environment(), "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def shop(folder, name="fly-orm-shop", entry_points="shop_orm = shop_adapter:ShopAdapter", **modules):
    given = modules or {"shop_orm": LIBRARY, "shop_adapter": ADAPTER}
    return wheel(folder, name, entry_points, group="fly_orm.adapters", **given)


def test_an_adapter_of_somebody_elses_is_used_once_it_is_installed(python, tmp_path):
    done = python(VISIT, shop(tmp_path))
    assert (done.returncode, done.stdout.strip()) == (0, "False shop {'shop_adapter'}"), done.stderr


def test_two_distributions_that_claim_one_library_are_both_named(python, tmp_path):
    other = shop(tmp_path, "other-shop", "shop_orm = other:Adapter", other="")
    done = python(VISIT, shop(tmp_path), other)
    claims = "fly_orm_shop 1.0 (shop_adapter:ShopAdapter) and other_shop 1.0 (other:Adapter)"
    assert f"ConfigurationError: fly_orm.adapters: 'shop_orm' is provided twice, by {claims}" in done.stderr


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        (
            "shop_adapter:Missing",
            "'shop_orm' of fly_orm_shop 1.0 (shop_adapter:Missing) cannot be loaded: AttributeError",
        ),
        ("shop_orm:Database", "'shop_orm' makes a Database, which lacks wrap, router_of, why_unrouted, type_handlers"),
        ("shop_orm:broken", "'shop_orm' cannot be made: RuntimeError: not today"),
    ],
)
def test_an_adapter_that_fails_says_why(python, tmp_path, target, complaint):
    done = python(VISIT, shop(tmp_path, entry_points=f"shop_orm = {target}"))
    assert f"ConfigurationError: fly_orm.adapters: {complaint}" in done.stderr


@pytest.mark.parametrize("wrong", [object(), dict, None, peewee, fly_orm.wrap], ids=lambda wrong: type(wrong).__name__)
def test_an_object_that_no_adapter_knows_is_refused_with_those_that_there_are(wrong):
    kind = f"{type(wrong).__module__}.{type(wrong).__qualname__}"
    known = r"the installed adapters are .*peewee \(of fly_orm\), pony \(of fly_orm\).*see docs/adapters\.md"
    for function in (fly_orm.wrap, fly_orm.serve):
        with pytest.raises(fly_orm.ConfigurationError, match=rf"no adapter wraps a {kind}; {known}"):
            function(wrong)
    assert (ROOT / "docs" / "adapters.md").exists()


def test_without_any_adapter_the_installation_is_at_fault(monkeypatch):
    monkeypatch.setattr(loading, "registry", lambda group: SimpleNamespace(names=list, plugins=list))
    with pytest.raises(fly_orm.ConfigurationError, match="no adapter is installed; reinstall fly-orm"):
        fly_orm.wrap(peewee.PostgresqlDatabase("x"))


@pytest.mark.parametrize(
    ("code", "others"),
    [
        ("import fly_orm", {"peewee", "pony"}),
        ("import fly_orm, peewee; fly_orm.wrap(peewee.PostgresqlDatabase('x'))", {"pony"}),
        ("import fly_orm; from pony import orm; fly_orm.wrap(orm.Database())", {"peewee"}),
    ],
)
def test_no_orm_is_imported_that_is_not_in_use(python, code, others):
    done = python(f"{code}; import sys; print(sorted({others} & set(sys.modules)))")
    assert done.stdout.strip() == "[]", done.stderr


def test_the_nearest_class_decides(monkeypatch):
    made = {}
    monkeypatch.setattr(loading, "registry", lambda group: SimpleNamespace(names=lambda: ["near_orm", "far_orm"]))
    monkeypatch.setattr(loading, "load_adapter", lambda name: made.setdefault(name, name))
    far = type("Far", (), {"__module__": "far_orm"})
    near = type("Near", (far,), {"__module__": "near_orm.sub.module"})
    own = type("Own", (near,), {"__module__": "own"})
    assert [loading.adapter_of(cls()) for cls in (far, near, own)] == ["far_orm", "near_orm", "near_orm"]


def test_an_adapter_is_made_once():
    assert loading.load_adapter("peewee") is loading.load_adapter("peewee")


def test_an_orms_exceptions_arrive_as_themselves_only_where_its_adapter_is_loaded(monkeypatch):
    loading.load_adapter("peewee")
    sent = encode_error(peewee.IntegrityError("duplicate"))
    assert type(decode_error(sent)) is peewee.IntegrityError
    monkeypatch.setattr(exception_classes, "_trusted", {"builtins", "psycopg2"})
    for error in (decode_error(sent), decode_error(encode_error(peewee.IntegrityError("duplicate")))):
        assert type(error) is fly_orm.RemoteError
        assert (error.class_name, error.text) == ("peewee.IntegrityError", "duplicate")


def test_what_an_adapter_leaves_out_does_nothing():
    class Smallest(WrappedDatabase):
        def name(self) -> str:
            return "shop"

        def connect(self) -> Any:
            return None

        def in_transaction(self) -> bool:
            return False

        def close_thread_connections(self) -> None:
            pass

    wrapped = Smallest()
    with wrapped.function_scope():
        wrapped.flush()
        wrapped.clear_cached_results()
    assert wrapped.exceptions is None
    for cls in (Adapter, WrappedDatabase):
        with pytest.raises(TypeError, match="abstract"):
            cls()
