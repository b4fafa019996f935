"""The test application in lax."""

from __future__ import annotations

import gc
from dataclasses import dataclass, field
from typing import Any
from weakref import ref

import peewee

import fly_orm
from fly_orm import Route
from fly_orm.testing import Wan
from fly_orm.topology import Node
from tests.support import shop, two_regions
from tests.support.nodes import NodeProcess, node_process, url
from tests.support.two_regions import Regions, close, named, settings


@dataclass(kw_only=True)
class Shop(Regions):
    """The test application in lax, and what it needs elsewhere."""

    node: NodeProcess = field(init=False)
    address: str = field(init=False)
    wan: Wan = field(init=False)
    db: Any = field(default=None, init=False)

    def open(self) -> None:
        self.node = self.start()
        self.address = self.node.address()
        self.wan = self.undo.enter_context(two_regions.way.network(self.address))
        self.live_in_lax(self.wan.address)

    def start(self, *arguments: str, server: Any = None, **variables: str) -> NodeProcess:
        """Another node, by default of the primary."""
        variables = {"SHOP_URL": url(server or self.cluster.primary, self.name), **variables}
        return self.undo.enter_context(node_process("tests.support.shop:db", *arguments, **variables))

    def live_in_lax(self, *addresses: str, region: str = "lax", **changes: Any) -> None:
        """Be a process of a region with the replica, which knows these nodes in syd, from now on."""
        self.leave()
        nodes = {"syd": tuple(Node(region="syd", address=address) for address in addresses)}
        fly_orm.configure(settings(region, nodes={**nodes, **changes.pop("nodes", {})}, **changes))
        self.db = self.database(self.cluster.replica)
        self.db.bind(shop.MODELS)

    def leave(self) -> None:
        """Have no database here any more."""
        if self.db is not None:
            close(self.db)
            self.db = None
            for model in shop.MODELS:
                model.bind(None)
            gc.collect()  # calls wait as long as the most patient wrapping that is left of a database

    def database(self, server: Any, **options: Any) -> Any:
        """A database of the process that lives in lax at present."""
        database = fly_orm.wrap(peewee.PostgresqlDatabase(**named(server, self.name)), **options)
        self.undo.callback(_close_if_left, ref(database))
        return database

    def names(self) -> list[str]:
        """Those of the items that the replica here shows."""
        return read_here(self.db, "SELECT name FROM item ORDER BY id")

    def stored(self) -> list[str]:
        """Those of the items on the primary."""
        return self.query("SELECT coalesce(array_agg(name ORDER BY id), '{}') FROM item")


def _close_if_left(reference: ref[Any]) -> None:
    database = reference()
    if database is not None:
        close(database)


def read_here(db: Any, sql: str) -> list[Any]:
    """The first column of what is read, if it was read locally."""
    rows = db.execute_sql(sql).fetchall()
    assert fly_orm.why().route is Route.LOCAL
    return [row[0] for row in rows]
