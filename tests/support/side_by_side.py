"""Runs the same steps on an unwrapped connection to the primary and on a wrapped one in lax, to see them differ."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import psycopg2
import pytest
from psycopg2 import extensions as ext

import fly_orm
from fly_orm.postgres.sql_error import DIAGNOSTICS
from tests.support.two_regions import TwoRegions, close

MODES = ["autocommit", "transactions", "begun", "on the primary"]

SETUP = """
    CREATE TABLE t (id serial PRIMARY KEY, name text UNIQUE, n int CHECK (n < 1000));
    INSERT INTO t (name, n) VALUES ('ann', 1), ('bob', 2), ('eve', NULL);
    CREATE FUNCTION add(text) RETURNS int LANGUAGE sql AS 'INSERT INTO t (name) VALUES ($1) RETURNING id';
    CREATE FUNCTION shout(text) RETURNS text LANGUAGE plpgsql AS
        'BEGIN RAISE NOTICE ''%!'', $1; RETURN upper($1); END';
    CREATE PROCEDURE rename(text, text) LANGUAGE sql AS 'UPDATE t SET name = $2 WHERE name = $1';
    CREATE FUNCTION pair(a int, b int) RETURNS TABLE (low int, high int) LANGUAGE sql AS
        'SELECT least(a, b), greatest(a, b)';
    CREATE FUNCTION maybe(bool) RETURNS text LANGUAGE plpgsql AS
        'BEGIN IF $1 THEN INSERT INTO t (name) VALUES (''m''); RETURN ''wrote''; END IF; RETURN ''read''; END';
    CREATE FUNCTION complain() RETURNS void LANGUAGE plpgsql AS
        'BEGIN RAISE EXCEPTION ''oh %'', 1 USING ERRCODE = ''P9999'', HINT = ''hint'', DETAIL = ''detail'',
        COLUMN = ''c'', CONSTRAINT = ''k'', TABLE = ''t'', SCHEMA = ''s'', DATATYPE = ''d''; END';
    CREATE TABLE child (t_id int REFERENCES t DEFERRABLE INITIALLY DEFERRED);
    CREATE UNLOGGED TABLE volatile (v int);
    CREATE TYPE card AS (value int, suit text);
    CREATE TYPE mood AS ENUM ('sad', 'happy');
"""


def seen(value: Any) -> Any:
    """A value with the types of all its parts."""
    if isinstance(value, ext.Column):
        return ("Column", *value, value.table_column, bool(value.table_oid))
    if isinstance(value, dict):
        return type(value).__name__, [(seen(key), seen(part)) for key, part in value.items()]
    if isinstance(value, list | tuple | set):
        return type(value).__name__, [seen(part) for part in value]
    if isinstance(value, memoryview):
        return "memoryview", bytes(value)
    return type(value).__module__, type(value).__qualname__, repr(value)


def seen_error(error: BaseException) -> Any:
    """All that a caller can tell about an error."""
    kind = type(error)
    shown: list[Any] = [kind.__module__, kind.__name__, [base.__name__ for base in kind.__bases__], error.args]
    if isinstance(error, psycopg2.Error):
        shown += [error.pgcode, error.pgerror, {name: getattr(error.diag, name) for name in DIAGNOSTICS}]
        shown.append(error.cursor is not None)
    if getattr(error, "orig", None) is not None:
        shown.append(seen_error(error.orig))  # type: ignore[attr-defined]
    return shown


class Probe:
    """One of the two connections, and what was seen on it."""

    def __init__(self, database: Any, connection: Any) -> None:
        self.database = database
        self.connection = connection
        self.trace: list[Any] = []

    def do(self, step: Any, cursor: Any = None) -> None:
        """Execute a statement (text, or text with parameters), or call a function with this probe, and note it all."""
        label = step if not callable(step) else getattr(step, "__name__", "step")
        cursor = cursor or self.connection.cursor()
        try:
            if callable(step):
                outcome = seen(step(self))
            else:
                cursor.execute(*(step if isinstance(step, tuple) else (step,)))
                outcome = self.result(cursor)
        except (Exception, pytest.fail.Exception) as error:  # whatever it is, both have to raise it
            outcome = seen_error(error)
        self.trace.append((label, outcome, self.state()))

    def result(self, cursor: Any) -> Any:
        """What a cursor shows after a statement."""
        shown = [cursor.rowcount, cursor.statusmessage, cursor.lastrowid, cursor.rownumber, cursor.query]
        shown.append(seen(cursor.description))
        try:
            shown += [seen(cursor.fetchall()), cursor.rownumber]
        except psycopg2.Error as error:
            shown.append(seen_error(error))
        return shown

    def state(self) -> Any:
        """What the connection shows between statements."""
        c = self.connection
        modes = (c.autocommit, c.isolation_level, c.readonly, c.deferrable)
        if c.closed:
            return c.closed
        return c.get_transaction_status(), c.info.transaction_status, c.status, modes, c.encoding, list(c.notices)


class SideBySide:
    """Compares the two on a fresh schema each."""

    def __init__(self, regions: TwoRegions) -> None:
        self.regions = regions

    def reset(self, setup: str = SETUP) -> None:
        """Make the schema anew on both servers."""
        self.regions.query("DROP SCHEMA public CASCADE; CREATE SCHEMA public;" + setup)
        self.regions.cluster.wait_for_replica()

    def traces(
        self,
        steps: Sequence[Any],
        *,
        autocommit: bool = True,
        prepare: Callable[[Any], None] = lambda connection: None,
        setup: str = SETUP,
        **parameters: Any,
    ) -> tuple[list[Any], list[Any]]:
        """What the unwrapped and the wrapped connection saw; ``parameters`` are the databases'."""

        def trace(make: Any) -> list[Any]:
            self.reset(setup)
            database = make(**parameters)
            database.connect()
            connection = database.connection()
            connection.autocommit = autocommit
            prepare(connection)
            probe = Probe(database, connection)
            for step in steps:
                probe.do(step)
            with contextlib.suppress(psycopg2.Error):
                connection.close()
            close(database)
            return probe.trace

        return trace(self.regions.plain), trace(self.regions.lax)

    def in_mode(self, mode: str, steps: Sequence[Any], **options: Any) -> tuple[list[Any], list[Any]]:
        """As :meth:`traces`, in one of the ways in which statements come to run where they do."""
        begin = ["BEGIN", "UPDATE t SET n = 1"] if mode == "begun" else []
        with fly_orm.primary() if mode == "on the primary" else contextlib.nullcontext():
            return self.traces([*begin, *steps], autocommit=mode != "transactions", **options)


WRITE = "UPDATE t SET n = id RETURNING id, name"
READ = "SELECT id, name FROM t ORDER BY id"


class Cases(dict[str, list[Any]]):
    """Functions to compare by what they return or raise, and by what the table holds afterwards."""

    def case(self, function: Callable[[Probe], Any]) -> Callable[[Probe], Any]:
        """Compare this function too."""
        self[function.__name__] = [function, "SELECT * FROM t ORDER BY id"]
        return function


def rows_of(cursor: Any) -> Any:
    return cursor.rowcount, cursor.statusmessage, cursor.fetchall()
