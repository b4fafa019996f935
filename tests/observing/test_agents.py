"""Monitoring agents that put proxies around psycopg2's connections see an application's statements, and harm nothing.

The node of ``regions`` runs in this process, so the agent watches it, too.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any

import psycopg2
import pytest
from playhouse.pool import PooledPostgresqlDatabase
from pony import orm

import fly_orm
from fly_orm import Route
from fly_orm.ledger.table import create_sql
from tests.support import shop
from tests.support.one_table import INSERT, TABLE, count
from tests.support.pony_regions import pony_in_lax, works
from tests.support.proxies import ConnectionProxy
from tests.support.two_regions import TwoRegions, settings

COUNT = "SELECT count(*) FROM t"

pytestmark = pytest.mark.usefixtures("no_spare_channels")


@pytest.fixture(autouse=True)
def _table(agent: list[str], regions: TwoRegions) -> None:
    regions.query(f"{TABLE}; {create_sql()}")
    regions.cluster.wait_for_replica()
    agent.clear()


@pytest.mark.parametrize("wait", ["write", "read"])
def test_a_write_is_read_back_locally(agent: list[str], regions: TwoRegions, wait: str) -> None:
    db = regions.lax(options={"wait": wait})
    assert type(db.connection()) is ConnectionProxy
    for name in ("a", "b"):
        db.execute_sql(INSERT, (name,))
        assert fly_orm.why().route is Route.PRIMARY  # type: ignore[union-attr]
        assert count(db) == (1 if name == "a" else 2)
        assert fly_orm.why().route is Route.LOCAL  # type: ignore[union-attr]
    with db.atomic():
        db.execute_sql(INSERT, ("c",))
        assert count(db) == 3
    statements = [sql for sql in agent if "FROM t" in sql or "INTO t" in sql]
    assert statements == [INSERT, COUNT, INSERT, COUNT, INSERT, COUNT]


def test_a_pool_lends_its_connections_again(agent: list[str], regions: TwoRegions) -> None:
    db = regions.lax(PooledPostgresqlDatabase)
    lent = set()
    for number in range(3):
        with db.connection_context():
            lent.add(id(db.connection()))
            assert count(db) == number
            db.execute_sql(INSERT, (f"{number}",))
    assert len(lent) == 1
    assert "SELECT 1" not in agent  # the pool's own question


def test_pony_works(agent: list[str], regions: TwoRegions) -> None:
    with pony_in_lax(regions) as db:
        for _ in range(2):
            works(db)
        with orm.db_session:
            assert type(db.get_connection()) is ConnectionProxy


def test_a_connection_factory_routes(agent: list[str], regions: TwoRegions) -> None:
    fly_orm.configure(regions.lax_settings())
    factory = fly_orm.connection_factory()
    with closing(psycopg2.connect(regions.cluster.replica.dsn(regions.name), connection_factory=factory)) as connection:
        assert type(connection) is ConnectionProxy
        connection.autocommit = True
        with connection.cursor() as cursor:
            for number in range(2):
                cursor.execute(COUNT)
                assert cursor.fetchall() == [(number,)]
                assert fly_orm.why().route is Route.LOCAL  # type: ignore[union-attr]
                cursor.execute(INSERT, (f"{number}",))


class TestInThePrimaryRegion:
    @pytest.fixture
    def syd(self, regions: TwoRegions) -> Any:
        fly_orm.configure(settings("syd"))
        return regions.syd(options={"exactly_once": True, "name": f"own {regions.name}"})

    def test_a_session_has_a_token(self, syd: Any) -> None:
        syd.execute_sql(INSERT, ("a",))
        assert fly_orm.token()

    def test_an_operation_is_done_once(self, syd: Any) -> None:
        with fly_orm.operation("order-42"):
            syd.execute_sql(INSERT, ("a",))
        with pytest.raises(fly_orm.AlreadyCommitted), fly_orm.operation("order-42"):
            syd.execute_sql(INSERT, ("a",))
        assert count(syd) == 1

    def test_a_function_with_a_key_runs_once(self, syd: Any, regions: TwoRegions) -> None:
        with syd.bind_ctx(shop.MODELS):
            syd.create_tables(shop.MODELS)
            given: dict[str, Any] = {"exactly_once": f"own {regions.name}", "operation_key": "order-42"}
            ids = [fly_orm.call(fly_orm.PRIMARY, shop.stock, ["a"], **given).id for _ in range(2)]
            assert ids == [1, 1]
            assert shop.Item.select().count() == 1
