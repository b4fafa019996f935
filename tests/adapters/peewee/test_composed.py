"""``@db.atomic()`` above ``@fly_orm.on_primary`` is one transaction where the function runs, as below."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import peewee
import pytest

import fly_orm
from fly_orm.testing import Cluster, Wan
from fly_orm.topology import Node
from tests.support.nodes import node_process, url
from tests.support.two_regions import settings

APP = """
import os
from playhouse.db_url import connect
import fly_orm

db = fly_orm.wrap(connect(os.environ["COMPOSED_URL"]))

def add(*names):
    for name in names:
        db.execute_sql("INSERT INTO t (name) VALUES (%s)", (name,))
    return len(names)

@db.atomic()
@fly_orm.on_primary
def above(*names):
    return add(*names)

@fly_orm.on_primary
@db.atomic()
def below(*names):
    return add(*names)

@db.transaction()
@fly_orm.on_primary(timeout=30)
def transaction_above(*names):
    return add(*names)
"""


@pytest.fixture
def app(cluster: Cluster, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    (tmp_path / "composed_app.py").write_text(APP)
    with cluster.primary.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (id serial PRIMARY KEY, name text UNIQUE)")
    cluster.wait_for_replica()
    with (
        node_process("composed_app:db", folder=tmp_path, COMPOSED_URL=url(cluster.primary, database)) as node,
        Wan(node.address()) as wan,
    ):
        fly_orm.configure(settings("lax", nodes={"syd": (Node(region="syd", address=wan.address),)}))
        monkeypatch.setenv("COMPOSED_URL", url(cluster.replica, database))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "composed_app", raising=False)
        made = importlib.import_module("composed_app")
        made.wan = wan
        yield made
        made.db.close()
        made.db._fly_orm.close()


@pytest.mark.usefixtures("no_spare_channels")
def test_it_is_one_round_trip_and_one_transaction_in_either_order(app: Any) -> None:
    def stored() -> list[str]:
        return [name for (name,) in app.db.execute_sql("SELECT name FROM t ORDER BY id")]

    functions: dict[str, Callable[..., int]] = {
        name: getattr(app, name) for name in ("above", "below", "transaction_above")
    }
    expected: list[str] = []
    for name, function in functions.items():
        assert function(f"{name} 1") == 1  # opens the channel, the first time
        before = app.wan.round_trips
        assert function(f"{name} 2", f"{name} 3") == 2
        assert app.wan.round_trips - before == 1
        expected += [f"{name} {number}" for number in (1, 2, 3)]
        with pytest.raises(peewee.IntegrityError):
            function(f"{name} 4", f"{name} 1")
        assert stored() == expected
        assert isinstance(function, type(app.below))
    with app.db.atomic(), pytest.raises(fly_orm.NotSupported, match="runs in a transaction of its own"):
        app.above("x")


@fly_orm.on_primary
def composed(*names: str) -> int:
    return len(names)


def plain(*names: str) -> int:
    return len(names)


@pytest.mark.parametrize("block", ["savepoint", "manual_commit"])
def test_an_order_that_cannot_work_is_refused_when_the_function_is_decorated(block: str) -> None:
    db = fly_orm.wrap(peewee.PostgresqlDatabase("shop"), settings=settings("lax"))
    decorator = getattr(db, block)()
    for decorated in (composed, fly_orm.on_primary(classmethod(plain)), fly_orm.on_primary(staticmethod(plain))):
        with pytest.raises(fly_orm.ConfigurationError, match=rf"write @fly_orm.on_primary above @db.{block}\(\)"):
            decorator(decorated)
    assert callable(decorator(test_an_order_that_cannot_work_is_refused_when_the_function_is_decorated))
