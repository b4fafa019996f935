"""Tenants that share a Postgres database, and a node, never meet each other's rows."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import peewee
import pytest
from pony import orm

import fly_orm
from fly_orm.testing import Cluster
from tests.support import tenants, two_regions
from tests.support.pony_regions import close as close_pony
from tests.support.roles import roles
from tests.support.tenants import ENTERS, TENANTS, PeeweeTenants, PonyTenants
from tests.support.two_regions import close, named, settings

THREADS = 16
STEPS = 12


class Tenancy:
    """The tenants' databases on one server, which one node serves under one name or each under its own."""

    def __init__(self, cluster: Cluster, name: str, kind: str, undo: ExitStack) -> None:
        self.cluster, self.name, self.kind, self.undo = cluster, name, kind, undo
        users = undo.enter_context(roles(cluster, name, *TENANTS)) if kind != "schema" else []
        self.users = dict(zip(TENANTS, users, strict=False))
        self.sql(tenants.setup(kind))

    def sql(self, sql: str) -> Any:
        connection = self.cluster.primary.connect(self.name)
        with connection.cursor() as cursor:
            cursor.execute(sql)
            rows = cursor.fetchall() if cursor.description else None
        connection.close()
        self.cluster.wait_for_replica()
        return rows

    def parameters(self, server: Any, tenant: str) -> dict[str, Any]:
        given = named(server, self.name)
        if self.kind == "schema":
            return {**given, "options": f"-c search_path={tenant}"}
        return {**given, "user": self.users[tenant if self.kind == "role" else TENANTS[0]]}

    def databases(self, server: Any, adapter: str, wrap: Any = lambda database, tenant: database) -> dict[str, Any]:
        """By tenant; one for all where a setting tells them apart."""
        made: dict[str, Any] = {}
        for tenant in TENANTS:
            if self.kind in ENTERS and made:
                made[tenant] = made[TENANTS[0]]
                continue
            given = self.parameters(server, tenant)
            if adapter == "peewee":
                database = wrap(peewee.PostgresqlDatabase(**given), tenant)
                self.undo.callback(close, database)
            else:
                database = wrap(orm.Database(), tenant)
                database.bind("postgres", **given)
                self.undo.callback(close_pony, database)
            made[tenant] = database
        return made

    def outcome(self, databases: dict[str, Any], adapter: str) -> Any:
        """What all threads have seen, and what is stored in the end."""
        app = (PeeweeTenants if adapter == "peewee" else PonyTenants)(databases, self.kind)
        with ThreadPoolExecutor(THREADS) as pool:
            seen = list(pool.map(lambda owner: tenants.work(app, owner, STEPS), range(THREADS)))
        tables = [f"{tenant}.note" for tenant in TENANTS] if self.kind == "schema" else ["note"]
        stored = [self.sql(f"SELECT tenant, said, owner, n FROM {table} ORDER BY 1, 2, 3, 4") for table in tables]
        self.sql(f"TRUNCATE {', '.join(tables)}")
        return seen, stored


@contextmanager
def node(tenancy: Tenancy, served: str) -> Iterator[str]:
    """A node's address. It serves one object for all tenants, or one for each under the tenant's name."""
    with ExitStack() as undo:
        if served == "together":
            objects = [
                fly_orm.wrap(
                    peewee.PostgresqlDatabase(**named(tenancy.cluster.primary, tenancy.name)), settings=settings("syd")
                )
            ]
        else:
            objects = [
                fly_orm.wrap(
                    peewee.PostgresqlDatabase(**tenancy.parameters(tenancy.cluster.primary, tenant)),
                    settings=settings("syd"),
                    name=tenant,
                )
                for tenant in TENANTS
            ]
        for database in objects:
            undo.callback(close, database)
        serving = fly_orm.serve(*objects, listen=two_regions.way.listen(), settings=settings("syd"), pool_size=4)
        yield undo.enter_context(serving).address


@pytest.mark.parametrize("adapter", ["peewee", "pony"])
@pytest.mark.parametrize(
    ("kind", "served"),
    [
        ("schema", "together"),
        pytest.param("schema", "apart", marks=pytest.mark.slow),
        ("role", "together"),
        pytest.param("role", "apart", marks=pytest.mark.slow),
        ("setting", "together"),
        ("function", "together"),
    ],
)
def test_sixteen_threads_see_and_leave_what_they_do_unwrapped(
    cluster: Cluster, database: str, adapter: str, kind: str, served: str
) -> None:
    with ExitStack() as undo:
        tenancy = Tenancy(cluster, database, kind, undo)
        address = undo.enter_context(node(tenancy, served))

        def wrap(database: Any, tenant: str) -> Any:
            name = tenant if served == "apart" else None
            return fly_orm.wrap(database, settings=settings("lax", address), name=name)

        plain = tenancy.outcome(tenancy.databases(cluster.primary, adapter), adapter)
        wrapped = tenancy.outcome(tenancy.databases(cluster.replica, adapter, wrap), adapter)
        assert wrapped == plain
        rows = [row for table in plain[1] for row in table]
        assert len(rows) > THREADS
        assert all(tenant == said for tenant, said, *_ in rows)
