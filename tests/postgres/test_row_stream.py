"""The rows of a statement, taken while they arrive, are those that psycopg2 returns, and so are its errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from psycopg2.extras import wait_select

from fly_orm.postgres.cursors import bytes_cursor
from fly_orm.postgres.libpq_results import LibpqResults
from fly_orm.postgres.row_stream import RowStream
from fly_orm.postgres.sql_error import describe
from fly_orm.protocol.messages import Result
from fly_orm.serving.result_limit import ResultLimit
from fly_orm.serving.results import result_of
from fly_orm.testing import Cluster

QUERIES = [
    b"SELECT 1",
    b"SELECT 1 WHERE false",
    b"SELECT",
    b"SELECT FROM generate_series(1, 100)",
    b"SELECT NULL, '', 'a', E'b\\nc', E'b\\x1fc', E'\\n', E'\\x1f'",
    b"SELECT g, NULL, '', nullif(g % 3, 0), repeat('x', g % 3) FROM generate_series(1, 700) g",
    b"SELECT g, CASE WHEN g % 50 = 0 THEN E'two\\nlines' END, E'a\\x1fb' FROM generate_series(1, 700) g",
    b"SELECT CASE WHEN g % 2 = 0 THEN NULL ELSE '' END FROM generate_series(1, 700) g",
    b"SELECT repeat('x', 20000 + g), NULL, '' FROM generate_series(1, 50) g",
    b"SELECT repeat('x', g * 100) FROM generate_series(1, 200) g",
    b"SELECT 1.5::numeric(10, 2), 1.5::numeric, 'a'::varchar(20), 'a'::char(5), 1::bit(3), '1 s'::interval(2), ctid, "
    b"tableoid, relname, relacl, '2026-11-27 10:00'::timestamptz(3), c FROM pg_class c ORDER BY oid",
    b"SELECT '\\x00ff'::bytea, 'a'::\"char\", ''::\"char\", ARRAY[1, NULL], '(1,2)'::point",
    b"SELECT 1 AS \"\xc3\xa9\", '\xe2\x82\xac'",
    b"EXPLAIN SELECT 1",
    b"SHOW timezone",
    b"VALUES (1, 'a'), (2, NULL)",
    b"TABLE pg_database",
    b"SELECT 1; SELECT g, 2 FROM generate_series(1, 100) g",
    b"SELECT g FROM generate_series(1, 100) g; SELECT 'last'",
    b"SELECT g FROM generate_series(1, 100) g; SELECT 1 WHERE false",
    b"SELECT g FROM generate_series(1, 100) g; SET application_name TO 'x'",
    b"CREATE TEMP TABLE made (i int); INSERT INTO made SELECT generate_series(1, 20) RETURNING i; DROP TABLE made",
    b"SELECT 1 INTO TEMP made; DROP TABLE made",
    b"BEGIN; DECLARE c BINARY CURSOR FOR SELECT 0, 'a', NULL FROM generate_series(1, 50); FETCH ALL FROM c; COMMIT",
    b"DECLARE c BINARY CURSOR FOR SELECT 0, 16777216, 'a', '', NULL FROM generate_series(1, 50); FETCH ALL FROM c",
]
CODES = ["P9999", "5Z000", "XY000", "HX000", "FX000", "3Z000", "2Z000", "20ZZZ", "25ZZZ", "40ZZZ", "42ZZZ", "08ZZZ"]
ERRORS = [
    b"SELECT * FROM missing",
    b"SELECT g, 1 / (300 - g) FROM generate_series(1, 1000) g",
    b"SELECT 1; SELECT 1 / 0",
    b"SELEC 1",
    b"",
    b"-- nothing",
    b"SELECT 1; COPY (SELECT 1) TO STDOUT",
    b"COPY pg_database FROM STDIN",
    b"DO $$ BEGIN RAISE EXCEPTION USING MESSAGE = 'own \xc3\xa9', ERRCODE = 'P0999', HINT = 'h', DETAIL = 'd', TABLE = "
    b"'t', COLUMN = 'c', CONSTRAINT = 'n', DATATYPE = 'y', SCHEMA = 's'; END $$",
    *[b"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '%s'; END $$" % code.encode() for code in [*CODES, "ZZ001"]],
    b"DO $$ BEGIN RAISE EXCEPTION USING MESSAGE = repeat('long ', 50000); END $$",
]


@pytest.fixture
def connection(cluster: Cluster, database: str) -> Iterator[Any]:
    with closing(cluster.primary.connect(database)) as made:
        made.autocommit = True
        yield made


@pytest.fixture(params=["chunks, printed", "chunks, one by one", "rows, printed", "rows, one by one"])
def libpq(request: pytest.FixtureRequest) -> LibpqResults:
    """libpq as it is here, and as it is where it is older, or where the C library lacks a function."""
    made = LibpqResults()
    chunks, printing = request.param.split(", ")
    if chunks == "rows":
        made.set_chunks = None
    if printing == "one by one":
        made.printing = None
    return made


def taken(connection: Any, libpq: LibpqResults, sql: bytes) -> Result:
    stream, data, rows = RowStream(connection, libpq), [], 0
    for batch in stream.batches(sql):
        if stream.rows == batch.rows:
            data, rows = [[] for _ in batch.columns], 0
        rows += batch.rows
        for column, values in zip(data, batch.columns, strict=True):
            column.extend(values)
    assert stream.rows in (rows, 0)
    return Result(
        columns=stream.columns,
        data=data if stream.rows else [],
        rows=stream.rows,
        row_count=stream.row_count,
        status_message=stream.status_message,
    )


def of_psycopg2(connection: Any, sql: bytes) -> Result:
    cursor = bytes_cursor(connection)
    cursor.execute(sql)
    return result_of(cursor, cursor.rowcount, ResultLimit(connection, 2**25))


def outcome(take: Callable[[], Result], connection: Any) -> Any:
    try:
        return take()
    except psycopg2.Error as error:
        return type(error).__mro__[-3:], describe(error), connection.closed
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ROLLBACK")  # in both, whatever was begun


@pytest.mark.parametrize("sql", QUERIES)
def test_the_result_is_the_same(connection: Any, libpq: LibpqResults, sql: bytes) -> None:
    expected = outcome(lambda: of_psycopg2(connection, sql), connection)
    assert isinstance(expected, Result)
    assert outcome(lambda: taken(connection, libpq, sql), connection) == expected


@pytest.mark.parametrize("sql", ERRORS)
def test_the_error_is_the_same(connection: Any, libpq: LibpqResults, sql: bytes) -> None:
    expected = outcome(lambda: of_psycopg2(connection, sql), connection)
    assert not isinstance(expected, Result)
    assert outcome(lambda: taken(connection, libpq, sql), connection) == expected


def test_a_lost_connection_is_noticed(cluster: Cluster, connection: Any, libpq: LibpqResults) -> None:
    ends = b"SELECT g, pg_terminate_backend(pg_backend_pid()) FROM generate_series(1, 20) g"
    with closing(cluster.primary.connect("postgres")) as another, pytest.raises(psycopg2.OperationalError) as expected:
        of_psycopg2(another, ends)
    with pytest.raises(psycopg2.OperationalError) as raised:
        taken(connection, libpq, ends)
    assert describe(raised.value) == describe(expected.value)
    assert connection.closed
    with pytest.raises(psycopg2.InterfaceError):
        taken(connection, libpq, b"SELECT 1")


def test_there_is_no_stream_where_the_driver_waits_by_a_callback(connection: Any) -> None:
    assert RowStream.on(connection) is not None
    psycopg2.extensions.set_wait_callback(wait_select)
    try:
        assert RowStream.on(connection) is None
    finally:
        psycopg2.extensions.set_wait_callback(None)


def test_other_encodings_are_decoded(connection: Any, libpq: LibpqResults) -> None:
    connection.set_client_encoding("LATIN1")
    sql = "SELECT 'é' AS \"ä\", 1 / length('')".encode("latin1")
    for query in (sql.replace(b", 1 / length('')", b""), sql.replace(b"SELECT", b"SELECT missing,")):
        expected = outcome(lambda query=query: of_psycopg2(connection, query), connection)
        assert outcome(lambda query=query: taken(connection, libpq, query), connection) == expected
