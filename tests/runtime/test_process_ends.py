"""Processes that end while they use a database: at once, without a complaint, and nothing of theirs stays behind."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tests.support import ROOT
from tests.support.nodes import environment_in, url
from tests.support.two_regions import TwoRegions
from tests.support.waiting import PATIENCE, until

START = """
import atexit, os, sys, threading, time
from playhouse.db_url import connect
import fly_orm
db = fly_orm.wrap(connect(os.environ["DATABASE_URL"]))
db.connect()

def write(name):
    db.execute_sql("INSERT INTO item (name) VALUES (%s)", (name,))

def wait_in_a_transaction():
    with db.connection_context(), db.atomic():
        write("never committed")
        print("waiting", flush=True)
        db.execute_sql("SELECT pg_sleep(600)")

def begin_to_wait():
    threading.Thread(target=wait_in_a_transaction, daemon=True).start()
    time.sleep(0.5)

write("first")
"""
#: What a process does last, and what is stored then.
ENDS = {
    "while a transaction runs": ("begin_to_wait()", "first"),
    "by sys.exit while a transaction runs": ("begin_to_wait(); sys.exit(0)", "first"),
    "with a transaction open": ("db.begin(); write('open')", "first"),
    "with state on the primary": ("db.execute_sql('CREATE TEMPORARY TABLE t (i int)')", "first"),
    "while it serves": ("serving = fly_orm.serve(db, listen='127.0.0.1:0')", "first"),
    "with a write in an exit handler": ("atexit.register(write, 'last'); begin_to_wait()", "first last"),
}
OTHERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()
        AND backend_type = 'client backend'
"""


@pytest.fixture
def run(regions: TwoRegions) -> Any:
    """Runs a program in lax to its end, and returns what it has said on its standard error."""
    regions.query("CREATE TABLE item (name text)")
    regions.cluster.wait_for_replica()

    def run(text: str) -> str:
        variables = {"FLY_ORM_NODES": f"syd={regions.wan.address}", "FLY_ORM_RPC_TIMEOUT": "600"}
        variables["DATABASE_URL"] = url(regions.cluster.replica, regions.name)
        done = subprocess.run(
            [sys.executable, "-c", START + text],
            cwd=ROOT,
            env={**environment_in("lax"), **variables},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    return run


@pytest.mark.slow
@pytest.mark.parametrize("end", ENDS)
def test_a_process_ends_and_leaves_nothing(regions: TwoRegions, run: Any, end: str) -> None:
    text, stored = ENDS[end]
    assert run(text) == ""
    until(lambda: regions.query(OTHERS) == 0, "something goes on on the primary")
    until(lambda: not regions.serving._executor._leases, "a lease is left")
    assert regions.query("SELECT string_agg(name, ' ' ORDER BY name) FROM item") == stored
