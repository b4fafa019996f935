"""Connections that come and go, with whatever is open on them, leave nothing behind."""

from __future__ import annotations

import gc
import os
import threading
from typing import Any

import psutil
import pytest

from tests.support.two_regions import TwoRegions
from tests.support.waiting import until

#: How often to connect; with CYCLES=10000, it takes a minute.
CYCLES = int(os.environ.get("CYCLES", "500"))


def use(db: Any, number: int) -> None:
    """Connect, do something on the primary or on the replica in one connection out of three, and disconnect."""
    connection = db._connect()
    cursor = connection.cursor()
    match number % 18:
        case 0:
            cursor.execute("INSERT INTO item VALUES ('a')")
        case 3:
            connection.autocommit = False
            cursor.execute("INSERT INTO item VALUES ('b')")
        case 6:
            cursor.execute("CREATE TEMPORARY TABLE temporary (i int)")
        case 9:
            cursor.execute("SELECT pg_advisory_lock(7)")
        case 12:
            cursor.execute("SELECT count(*) FROM item")
        case 15:
            cursor.execute("SET work_mem = '1MB'")
    if number % 2:
        connection.close()  # the others are forgotten


def left(regions: TwoRegions) -> dict[str, int]:
    """What there is of everything that could be left."""
    gc.collect()
    activity = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{regions.name}'"
    return {
        "threads": threading.active_count(),
        "files": psutil.Process().num_fds(),
        "leases": len(regions.serving._executor._leases),
        "connections to the primary": int(regions.cluster.primary.query(activity)),
        "connections to the replica": int(regions.cluster.replica.query(activity)),
        "locks": int(regions.query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")),
    }


@pytest.mark.slow
def test_many_connections_leave_nothing(regions: TwoRegions) -> None:
    regions.query("CREATE TABLE item (name text)")
    regions.cluster.wait_for_replica()
    db = regions.lax()
    for number in range(90):
        use(db, number)
    until(lambda: left(regions)["leases"] == 0)
    before = left(regions)
    for number in range(CYCLES):
        use(db, number)

    def surplus() -> dict[str, int]:
        return {name: count - before[name] for name, count in left(regions).items() if count > before[name]}

    until(lambda: not surplus(), "something is left")
    assert surplus() == {}
