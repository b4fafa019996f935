"""The servers, the node and the links that the cells of a matrix share."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import peewee
import psycopg2

import fly_orm
from fly_orm.deadline import Deadline
from fly_orm.forwarding.sealed_channel import open_channel
from fly_orm.ledger.table import create_sql
from fly_orm.protocol.messages import Call, Declined
from fly_orm.registry import make_transport
from fly_orm.testing import Cluster
from fly_orm.topology import Node
from tests.matrix import framing
from tests.matrix.link import Link, Weather
from tests.support.nodes import NodeProcess
from tests.support.two_regions import SECRETS, close, named, settings
from tests.support.waiting import PATIENCE, until

#: What the triggers wait for: an insert, and the end of its transaction.
INSERTING, COMMITTING = 1, 2

SCHEMA = f"""
CREATE TABLE item (id serial PRIMARY KEY, name text, padding text);
CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_advisory_xact_lock_shared(tg_argv[0]::int); RETURN NULL; END';
CREATE TRIGGER inserting AFTER INSERT ON item
    FOR EACH ROW WHEN (new.name LIKE 'row-%') EXECUTE FUNCTION pause({INSERTING});
CREATE CONSTRAINT TRIGGER committing AFTER INSERT ON item DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (new.name LIKE 'row-%') EXECUTE FUNCTION pause({COMMITTING});
"""

#: Backends that serve a node, or have served one that was killed.
OTHERS = "datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"


class World:
    """A primary, a replica, and a node of the primary region in a process of its own, with a link on either side."""

    def __init__(self, cluster: Cluster, name: str, folder: Path) -> None:
        self.cluster = cluster
        self.name = name
        socket = Path(cluster.primary.host) / f".s.PGSQL.{cluster.primary.port}"
        self.to_primary = Link(
            str(socket), str(folder / socket.name), up=framing.to_postgres, down=framing.from_postgres
        )
        self._variables = {
            "MATRIX_URL": f"postgresql://postgres@/{name}?host={folder}&port={cluster.primary.port}",
            "FLY_ORM_LISTEN": "127.0.0.1:0",
        }
        self._witness: NodeProcess | None = None
        self._control: Any = None
        self._bystander: Any = None
        """A caller whose transaction keeps a node that drains from ending."""
        self.control(SCHEMA + create_sql())
        self._spare = self._start_node()
        self.node: NodeProcess
        self.to_node = Link(None, ("127.0.0.1", 0), up=framing.pyro5, down=framing.pyro5)
        self._take_spare()

    # The node

    def _start_node(self) -> NodeProcess:
        return NodeProcess("tests.matrix.app:db", **self._variables)

    def _take_spare(self) -> None:
        self.node, self._node_is_lost = self._spare, False
        self.to_node.target = _parsed(self.node.address())
        self._spare = self._start_node()  # while others are tried, so that nobody waits for it

    @cached_property
    def _witness_address(self) -> str:
        """A second node, which no fault hits, and which callers use only if the first one fails them."""
        url = f"postgresql://postgres@/{self.name}?host={self.cluster.primary.host}&port={self.cluster.primary.port}"
        self._witness = NodeProcess("tests.matrix.app:db", **{**self._variables, "MATRIX_URL": url})
        return self._witness.address()

    @property
    def node_address(self) -> str:
        return "{}:{}".format(*self.to_node.target)

    def kill_node(self) -> None:
        self._node_is_lost = True
        with self.to_node.losing_target():
            self.node.kill()

    def drain_node(self) -> None:
        """Tell the node to stop. It declines new requests when this returns, and serves a transaction that is open."""
        self._node_is_lost = True
        self._bystander = self._database(self.node_address)
        self._bystander.begin()
        self._bystander.execute_sql("SELECT 1")
        self.node.process.send_signal(signal.SIGTERM)
        until(self._declines, "the node does not drain")

    def _declines(self) -> bool:
        given = settings("lax")
        node, deadline = Node(region="syd", address=self.node_address), Deadline.after(PATIENCE)
        transport = make_transport(given.transport, given)
        channel = open_channel(transport, node, secrets=SECRETS, region="lax", deadline=deadline)
        try:
            reply = channel.request(Call(function="none", on_primary=False), deadline)
            return isinstance(reply, Declined) and reply.reason == "draining"
        finally:
            channel.close()

    # The primary

    def control(self, sql: str, *parameters: object) -> Any:
        """The first column of the first row, over the connection that holds the locks."""
        if self._control is None or self._control.closed:
            self._control = self.cluster.primary.connect(self.name)
        with self._control.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return cursor.fetchone()[0] if cursor.description else None

    def hold(self, lock: int) -> None:
        """Let what takes this lock wait."""
        self.control("SELECT pg_advisory_lock(%s)", lock)

    def let_go(self) -> None:
        """Let what waits for a lock go on."""
        with suppress(psycopg2.OperationalError):
            self.control("SELECT pg_advisory_unlock_all()")

    def waits(self) -> bool:
        """Whether something waits for a lock that is held."""
        return bool(self.control("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))

    def terminate_backends(self) -> None:
        """End the Postgres sessions that serve the node; they have ended when this returns."""
        with self.to_primary.losing_target():
            self.control(f"SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE {OTHERS}")

    def restart_primary(self) -> None:
        # Ended in turn, the session that holds a lock could let another one go on that is about to be ended.
        mode = "immediate" if self.waits() else "fast"
        with self.to_primary.losing_target():
            self.cluster.primary.restart(mode)
        self._control = None

    def busy(self) -> int:
        """How many statements run on the primary, or transactions are open there."""
        return int(self.control(f"SELECT count(*) FROM pg_stat_activity WHERE {OTHERS} AND state <> 'idle'"))

    def stored(self, name: str) -> int:
        """How many rows of this name there are."""
        return int(self.control("SELECT count(*) FROM item WHERE name = %s", name))

    # Between two cells

    def mend(self) -> None:
        """Undo every fault, and wait until nothing runs on the primary any more."""
        if self._bystander is not None:
            close(self._bystander)
            self._bystander = None
        self.to_node.change(Weather.FAIR)
        self.let_go()
        self.cluster.resume_replay()
        if self._node_is_lost:
            self._renew_node()
        until(lambda: not self.busy(), "something still runs on the primary")

    def _renew_node(self) -> None:
        self.node.kill()
        self.to_node.drop()
        self._take_spare()

    def close(self) -> None:
        for node in (self.node, self._spare, self._witness):
            if node is not None:
                node.kill()
        self.to_node.close()
        self.to_primary.close()
        if self._control is not None:
            self._control.close()

    @contextmanager
    def caller(self, *, ledger: bool, alone: bool = False, **options: Any) -> Iterator[Any]:
        """A database in lax, on the replica. With a ledger, it knows the second node too, unless it is ``alone``."""
        addresses = ["{}:{}".format(*self.to_node.address)]
        if ledger and not alone:
            addresses.append(self._witness_address)
        db = self._database(*addresses, exactly_once=ledger, **options)
        try:
            yield db
        finally:
            close(db)

    def _database(self, *addresses: str, exactly_once: bool = False, **options: Any) -> Any:
        plain = peewee.PostgresqlDatabase(**named(self.cluster.replica, self.name))
        nodes = {"syd": tuple(Node(region="syd", address=address) for address in addresses)}
        return fly_orm.wrap(plain, settings=settings("lax", nodes=nodes, **options), exactly_once=exactly_once)


def _parsed(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


@contextmanager
def world(cluster: Cluster, name: str) -> Iterator[World]:
    """A world on a database that exists, as long as the block lasts."""
    with ExitStack() as undo:
        folder = undo.enter_context(tempfile.TemporaryDirectory(prefix="fly_orm_matrix."))
        made = World(cluster, name, Path(folder))
        undo.callback(made.close)
        yield made
