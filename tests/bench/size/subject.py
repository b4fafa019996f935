"""An application's process whose memory is measured: it works once, says so, and waits for its input to end.

Run as ``python -m tests.bench.size.subject KIND THREADS``, with what it needs as JSON in the variable ``SUBJECT``.
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

PLAIN, WRAPPED = "plain", "wrapped"


def main(kind: str, threads: int) -> None:
    """Open a connection on each thread and use it, wrapped or not."""
    import peewee

    given = json.loads(os.environ["SUBJECT"])
    replica = given["replica"]
    database = peewee.PostgresqlDatabase(replica.pop("dbname"), **replica)
    if kind == WRAPPED:
        wrap(database, given["node"])

    class Row(peewee.Model):
        name = peewee.TextField()
        number = peewee.IntegerField()

        class Meta:
            database: Any

    Row.bind(database)
    barrier = Barrier(threads)

    def work(_: int) -> None:
        with database.connection_context():
            if kind == WRAPPED:
                Row.create(name="memory", number=1)
            list(Row.select().limit(20))
            barrier.wait()  # so that all connections are open at a time
            if barrier.wait() == 0:
                print("ready", flush=True)
                sys.stdin.readline()
            barrier.wait()

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))


def wrap(database: Any, node: str) -> None:
    """As an application in lax does."""
    import fly_orm
    from fly_orm.topology import Node, Topology

    topology = Topology(region="lax", primary_region="syd")
    nodes = {"syd": (Node(region="syd", address=node),)}
    settings = fly_orm.Settings(topology=topology, nodes=nodes, secret=os.environ["FLY_ORM_SECRET"])
    fly_orm.wrap(database, settings=settings)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
