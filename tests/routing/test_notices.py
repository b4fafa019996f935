"""Each notice reaches ``connection.notices`` once, also of a statement that was tried on the replica before."""

from __future__ import annotations

import io
from collections import deque
from typing import Any

import pytest

from tests.support.side_by_side import Probe, SideBySide

SETUP = """
    CREATE TABLE t (name text);
    CREATE FUNCTION greet(text) RETURNS text LANGUAGE plpgsql AS
        $$BEGIN RAISE NOTICE 'hi %', $1; INSERT INTO t VALUES ($1); RAISE NOTICE 'bye %', $1; RETURN $1; END$$;
    CREATE FUNCTION where_aloud() RETURNS bigint LANGUAGE plpgsql AS
        $$BEGIN RAISE NOTICE '%', pg_is_in_recovery(); INSERT INTO t VALUES ('x'); RETURN 1; END$$;
    CREATE FUNCTION shout(text) RETURNS text LANGUAGE plpgsql AS
        $$BEGIN RAISE NOTICE '%!', $1; RETURN upper($1); END$$;
    CREATE FUNCTION grab_any(text) RETURNS void LANGUAGE plpgsql AS
        $$BEGIN RAISE NOTICE 'grab'; EXECUTE 'SELECT pg_' || $1 || '_lock(7)'; END$$;
    CREATE FUNCTION fail(text) RETURNS text LANGUAGE plpgsql AS
        $$BEGIN RAISE NOTICE 'oh'; INSERT INTO t VALUES ($1); RAISE EXCEPTION 'no'; END$$;
    CREATE FUNCTION complain() RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE NOTICE 'ah'; RAISE EXCEPTION 'no'; END$$;
    CREATE VIEW greetings AS SELECT greet('view') AS name;
    CREATE VIEW shouts AS SELECT shout('view') AS name;
"""
SHOUT = "SELECT shout('me')"


def many(probe: Probe) -> None:
    probe.connection.cursor().executemany("SELECT greet(%s)", [("ann",), ("bob",)])


def called(probe: Probe) -> Any:
    with probe.connection.cursor() as cursor:
        cursor.callproc("greet", ["proc"])
        return cursor.fetchall()


WAYS = {
    "a call": "SELECT greet('ann')",
    "a call with parameters": ("SELECT greet(%s)", ("ann",)),
    "a view": "SELECT * FROM greetings",
    "several": "SELECT 1; SELECT greet('ann')",
    "a lock": "SELECT grab_any('advisory_xact')",
    "a failure": "SELECT fail('ann')",
    "a failure here": "SELECT complain()",
    "executemany": many,
    "callproc": called,
}


@pytest.mark.parametrize("mode", ["autocommit", "deferring", "read only", "begun"])
@pytest.mark.parametrize("way", WAYS)
def test_are_the_same_in_lax(beside: SideBySide, way: str, mode: str) -> None:
    def prepare(connection: Any) -> None:
        connection.autocommit = mode == "autocommit"
        connection.readonly = mode == "read only" or None
        if hasattr(connection, "defers_transactions"):
            connection.defers_transactions = mode == "deferring"

    def heard(probe: Probe) -> list[str]:
        found = []
        first = "DELETE FROM t" if mode == "begun" else SHOUT
        for step in (first, WAYS[way], SHOUT, "SELECT * FROM shouts", WAYS[way]):
            probe.do(step)
            found += [*probe.connection.notices, "."]
            probe.connection.notices.clear()
        probe.connection.rollback()
        return found

    on_primary, in_lax = beside.traces([heard, heard], autocommit=False, prepare=prepare, setup=SETUP)
    assert [outcome for name, outcome, _ in in_lax if name == "heard"] == [
        outcome for name, outcome, _ in on_primary if name == "heard"
    ]


def test_reach_whatever_the_application_has_put_there(beside: SideBySide) -> None:
    def gathered(probe: Probe) -> list[str]:
        kept: deque[str] = deque()
        probe.connection.notices = kept
        for sql in (SHOUT, "SELECT greet('ann')", SHOUT):
            probe.connection.cursor().execute(sql)
        assert probe.connection.notices is kept
        return list(kept)

    def most(probe: Probe) -> list[str]:
        probe.connection.notices = kept = []
        probe.connection.cursor().execute("SELECT greet(n::text) FROM generate_series(1, 60) n")
        probe.connection.cursor().execute("SELECT shout(n::text) FROM generate_series(1, 40) n")
        assert probe.connection.notices is kept
        return list(kept)

    on_primary, in_lax = beside.traces([gathered, most], setup=SETUP)
    assert in_lax == on_primary


@pytest.mark.parametrize("sql", ["SELECT where_aloud()", "COPY (SELECT where_aloud()) TO STDOUT"])
def test_are_those_of_the_primary(beside: SideBySide, sql: str) -> None:
    def heard(probe: Probe) -> list[str]:
        cursor = probe.connection.cursor()
        cursor.copy_expert(sql, io.StringIO())
        cursor.execute(SHOUT)  # psycopg2 shows the notices of a COPY after the next statement
        return list(probe.connection.notices)

    on_primary, in_lax = beside.traces([heard], setup=SETUP)
    assert in_lax == on_primary
