"""Class methods and static methods run in the primary region, for the class that they are called for."""

from __future__ import annotations

import importlib
import os
import pickle
import sys
from contextlib import ExitStack, nullcontext
from inspect import signature

import pytest
from pony import orm

import fly_orm
from fly_orm.errors import ConfigurationError, NotPortable, Refused
from fly_orm.ledger.table import create_sql
from fly_orm.testing import Wan
from fly_orm.topology import Node
from tests.support.nodes import node_process, url
from tests.support.two_regions import settings

TABLES = """
CREATE TABLE shelf (id serial PRIMARY KEY, name text UNIQUE);
CREATE TABLE tall (id serial PRIMARY KEY, name text UNIQUE);
CREATE TABLE box (id serial PRIMARY KEY, classtype text NOT NULL, name text NOT NULL);
"""


@pytest.fixture
def opened(cluster, database, monkeypatch):
    """Imports an application of tests.support in lax, and serves it in syd."""

    def open_(name):
        target, variable = f"tests.support.{name}", f"{name.upper()}_URL"
        with cluster.primary.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute(TABLES + create_sql())
        cluster.wait_for_replica()
        node = processes.enter_context(node_process(f"{target}:db", **{variable: url(cluster.primary, database)}))
        wan = processes.enter_context(Wan(node.address()))
        fly_orm.configure(settings("lax", nodes={"syd": (Node(region="syd", address=wan.address),)}))
        monkeypatch.setenv(variable, url(cluster.replica, database))
        monkeypatch.delitem(sys.modules, target, raising=False)
        module = importlib.import_module(target)
        processes.callback(module.db._fly_orm.close)
        processes.callback(getattr(module.db, "disconnect", None) or module.db.close)
        module.node, module.wan = node, wan
        return module

    with ExitStack() as processes:
        yield open_


@pytest.fixture
def app(opened):
    return opened("shelves")


def names(app, model):
    return [row.name for row in model.select().order_by(model.id)]


class TestAClassMethod:
    def test_runs_there_for_the_class_that_it_is_called_for(self, app):
        for name in ("where", "where_below", "show"):
            for cls in (app.Shelf, app.Tall):
                for receiver in (cls, cls()):
                    assert getattr(receiver, name)() == (cls.__name__, app.node.pid)

    @pytest.mark.usefixtures("no_spare_channels")
    @pytest.mark.parametrize("name", ["above", "below", "above_once", "below_once"])
    def test_keeps_its_class_and_its_options_in_either_order_of_decorators(self, app, name):
        tall = "tall " if name == "above" else ""
        made = [getattr(app.Shelf, name)("a"), getattr(app.Tall(), name)(name="b"), getattr(app.Tall, name)("c")]
        assert [type(each) for each in made] == [app.Shelf, app.Tall, app.Tall]
        assert names(app, app.Shelf) == ["a"]
        assert names(app, app.Tall) == [f"{tall}b", f"{tall}c"]
        app.wan.cut_before_reply()
        with pytest.raises(fly_orm.OutcomeUnknown) if "once" not in name else nullcontext():
            getattr(app.Tall, name)("d")
        app.wan.heal()
        assert names(app, app.Tall) == [f"{tall}b", f"{tall}c", f"{tall}d"]

    def test_is_a_transaction_under_a_decorator_of_the_orm(self, app):
        assert app.Tall.all_or_none("a", "b") == ["a", "b"]
        with pytest.raises(app.peewee.IntegrityError):
            app.Tall.all_or_none("c", "a")
        assert names(app, app.Tall) == ["a", "b"]

    def test_takes_part_in_call(self, app):
        for name in ("where", "visit", "inspect"):
            assert fly_orm.call("syd", getattr(app.Tall, name)) == ("Tall", app.node.pid)
            assert fly_orm.call("lax", getattr(app.Tall, name)) == ("Tall", os.getpid())
        assert app.Tall.visit() == ("Tall", os.getpid())

    def test_with_a_key_is_executed_once_for_a_class(self, app):
        key = {"operation_key": "order-42"}
        ids = {fly_orm.call(fly_orm.PRIMARY, app.Shelf.below_once, "a", **key).id for _ in range(2)}
        assert ids == {1}
        with pytest.raises(Refused, match="other parameters or arguments"):
            fly_orm.call(fly_orm.PRIMARY, app.Tall.below_once, "a", **key)
        assert names(app, app.Tall) == []

    def test_runs_here_as_local(self, app):
        for receiver in (app.Tall, app.Tall()):
            assert receiver.where.local() == ("Tall", os.getpid())
        if sys.version_info < (3, 13):
            assert app.Tall.where_below.local() == ("Tall", os.getpid())
        else:
            with pytest.raises(ConfigurationError, match=r"Write @fly_orm.on_primary above @classmethod"):
                app.Tall.where_below.local()

    def test_is_equal_to_itself_and_can_be_pickled_as_others_can(self, app):
        bound = app.Tall.where
        assert (app.Tall.where, hash(app.Tall.where)) == (bound, hash(bound))
        assert app.Shelf.where != bound
        assert pickle.loads(pickle.dumps(bound)) == bound

    def test_shows_as_other_methods_do(self, app):
        for method, name in ((app.Tall.above, "above"), (app.Shelf.below, "below"), (app.Tall().below, "below")):
            assert (method.__name__, str(signature(method))) == (name, "(name)")

    def test_says_how_to_run_it_here_where_python_does_not_bind_it(self, app):
        with pytest.raises(
            ConfigurationError, match=r"below.local .* Nothing has run. Write @fly_orm.on_primary above"
        ):
            vars(app.Shelf)["below"].__func__.local("a")


class TestAClass:
    def test_that_the_node_does_not_have_is_refused_before_anything_runs(self, app):
        class Local(app.Tall):
            pass

        with pytest.raises(
            Refused, match=r"no class 'tests.*<locals>.Local'.*Nothing was executed; import its module"
        ) as caught:
            Local.below("a")
        assert caught.value.reason == "bad arguments"
        assert names(app, app.Tall) == []

    def test_that_is_none_of_its_own_is_refused_here(self, app):
        with pytest.raises(NotPortable, match=r"argument 'cls': int is not a subclass of tests.support.shelves.Shelf"):
            vars(app.Shelf)["above"].__func__(int, "a")
        with pytest.raises(NotPortable, match=r"argument 'name': the class int cannot travel: .* pass its name"):
            app.Shelf.above(int)


class TestAStaticMethod:
    def test_runs_there_and_here(self, app):
        for receiver in (app.Shelf, app.Shelf(), app.Tall, app.Tall()):
            for function in (receiver.static_above, receiver.static_below):
                assert function("a") == ("a", app.node.pid)
                assert function.local("a") == ("a", os.getpid())
        assert fly_orm.call(fly_orm.PRIMARY, app.Tall.static_above, "a") == ("a", app.node.pid)


def test_entities_of_pony_have_them_too(opened):
    app = opened("boxes")
    assert [app.Box.pack("a"), app.BigBox.pack("b")] == [("Box", "a"), ("BigBox", "b")]
    with orm.db_session:
        assert [type(box) for box in app.Box.select().order_by(app.Box.id)] == [app.Box, app.BigBox]
