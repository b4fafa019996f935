"""Settings that do not fit together are reported once, with what to change."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier

import peewee
import pytest

import fly_orm
from fly_orm import NoNode, NotPrimary, Refused
from fly_orm.settings import Settings
from fly_orm.topology import Node, Topology
from tests.support.two_regions import SECRET, close, named

pytestmark = pytest.mark.usefixtures("no_spare_channels")


class World:
    """Processes that are configured as a test says, on the servers of a cluster."""

    def __init__(self, cluster, name, undo, caplog):
        self.cluster, self.name, self._undo, self._caplog = cluster, name, undo, caplog

    def process(self, region, primary_region, server=None, database=None, **nodes):
        """A database of a process on the replica, which knows one node per region."""
        made = peewee.PostgresqlDatabase(**named(server or self.cluster.replica, database or self.name))
        self._undo.callback(close, made)
        return fly_orm.wrap(made, settings=self._settings(region, primary_region, nodes))

    def node(self, region, primary_region, server=None):
        """The address of a node, by default on the primary."""
        database = self.process(region, primary_region, server or self.cluster.primary)
        settings = self._settings(region, primary_region, {})
        serving = fly_orm.serve(database, listen="127.0.0.1:0", settings=settings)
        self._undo.callback(serving.close)
        return serving.address

    def warnings(self, about):
        """The warnings about something."""
        records = [record for record in self._caplog.records if record.levelno == logging.WARNING]
        return [message for message in (record.getMessage() for record in records) if about in message]

    @staticmethod
    def _settings(region, primary_region, nodes):
        return Settings(
            topology=Topology(region=region, primary_region=primary_region),
            secret=SECRET,
            nodes={name: (Node(region=name, address=address),) for name, address in nodes.items()},
        )


@pytest.fixture
def world(cluster, database, caplog):
    with cluster.primary.connect(database) as connection:
        connection.cursor().execute("CREATE TABLE item (name text)")
    cluster.wait_for_replica()
    with ExitStack() as undo:
        yield World(cluster, database, undo, caplog)


def insert(db):
    db.execute_sql("INSERT INTO item VALUES ('a')")


def insert_at_once(db):
    """Three transactions at a time, each over a channel of its own."""
    together = Barrier(3)

    def work():
        with db.connection_context(), db.atomic():
            insert(db)
            together.wait(10)

    with ThreadPoolExecutor(3) as pool:
        for each in [pool.submit(work) for _ in range(3)]:
            each.result()


class TestAMisspeltPrimaryRegion:
    def test_of_a_caller_is_reported_and_the_primary_found_all_the_same(self, world):
        db = world.process("lax", "sdy", syd=world.node("syd", "syd"))
        insert_at_once(db)
        (found,) = world.warnings("requests for the primary")
        assert "Did you mean 'syd', one of the regions with nodes (syd)?" in found
        (differs,) = world.warnings("in this process, which runs in region")
        assert "PRIMARY_REGION is 'sdy' in this process, which runs in region 'lax', but is 'syd' on syd=" in differs

    def test_of_a_caller_is_in_the_error_if_there_is_no_primary(self, world):
        db = world.process("lax", "sdy", syd="127.0.0.1:1", ams="127.0.0.1:1")
        with pytest.raises(NoNode, match=r"'sdy': looked in .*Did you mean 'syd', one of.*\(ams, syd\)\? Otherwise"):
            insert(db)

    @pytest.mark.parametrize(("name", "said"), [("sdy", "is 'sdy'"), (None, "is not set")])
    def test_of_a_node_is_reported_by_its_callers(self, world, name, said):
        db = world.process("lax", "syd", syd=world.node("syd", name))
        insert_at_once(db)
        (differs,) = world.warnings("PRIMARY_REGION is 'syd'")
        assert f"which runs in region 'lax', but {said} on syd=" in differs


class TestARegionThatIsNotThePrimaryOne:
    @pytest.mark.parametrize("has_node", [True, False])
    def test_but_names_itself_is_told_so(self, world, has_node):
        nodes = {"lax": world.node("lax", "lax", world.cluster.replica)} if has_node else {}
        db = world.process("lax", "lax", **nodes)
        with pytest.raises(
            NotPrimary if has_node else NoNode,
            match="PRIMARY_REGION names 'lax', the region of this process, but the server here is a replica",
        ):
            insert(db)

    def test_and_knows_no_nodes_is_told_what_to_set(self, world):
        with pytest.raises(NoNode, match=r"FLY_ORM_NODES, which is not set; run `fly-orm serve` there, or list its"):
            insert(world.process("lax", "syd"))


class TestANode:
    def test_in_another_region_than_listed_is_reported(self, world):
        address = world.node("lax", "syd", world.cluster.replica)
        db = world.process("ams", "syd", syd=address)
        for _ in range(3):
            with pytest.raises(NotPrimary, match="is a replica"):
                insert(db)
        (message,) = world.warnings("is listed in")
        assert f"the node at {address} is listed in region 'syd', but runs in region 'lax'" in message

    def test_as_listed_is_not_reported(self, world):
        insert(world.process("lax", "syd", syd=world.node("syd", "syd")))
        assert world.warnings("") == []

    def test_that_does_not_serve_the_database_says_what_it_serves(self, world):
        db = world.process("lax", "syd", database="postgres", syd=world.node("syd", "syd"))
        with pytest.raises(Refused, match=f"serves {world.name}, not 'postgres'"):
            insert(db)
