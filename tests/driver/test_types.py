"""A value read in lax, from the replica or from the primary, is the value that psycopg2 makes of it on the primary."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg2 import extensions as ext
from psycopg2 import extras

from tests.support.side_by_side import Probe, SideBySide, close

SETUP = """
    CREATE EXTENSION hstore; CREATE EXTENSION citext;
    CREATE TYPE card AS (value int, suit text);
    CREATE TYPE mood AS ENUM ('sad', 'happy');
    CREATE DOMAIN positive AS int CHECK (VALUE > 0);
    CREATE TABLE t (id int PRIMARY KEY);
    INSERT INTO t VALUES (1);
"""

EXPRESSIONS = """
    1::int2
    -2147483648
    9223372036854775807
    1.50::numeric
    numeric(10, 3) '1.5'
    'NaN'::numeric
    'infinity'::numeric
    1.1::float4
    1.23456789012345678::float8
    'infinity'::float8
    'NaN'::float8
    true
    NULL::bool
    NULL
    'text'
    ''
    'é€😀'::text
    'v'::varchar(10)
    'c'::char(5)
    'x'::"char"
    'n'::name
    '\\x00ff41'::bytea
    ''::bytea
    ARRAY['\\x00ff'::bytea, NULL]
    '8b0cbd1e-9c4c-4f8e-9d0c-111111111111'::uuid
    ARRAY['8b0cbd1e-9c4c-4f8e-9d0c-111111111111'::uuid]
    '2024-02-29'::date
    'infinity'::date
    '-infinity'::date
    '0044-03-15 BC'::date
    '12024-01-01'::date
    ARRAY['2024-02-29'::date, NULL]
    '24:00'::time
    '12:34:56.789'::time
    '12:34:56+05:30'::timetz
    '2024-02-29 12:34:56.789'::timestamp
    'infinity'::timestamp
    '2024-07-01 12:00+02'::timestamptz
    '1890-01-01 12:00'::timestamptz
    '-infinity'::timestamptz
    ARRAY['2024-07-01 12:00+02'::timestamptz]
    '1 year 2 mons -3 days 04:05:06.7'::interval
    '-00:00:01'::interval
    '99999 hours'::interval
    ARRAY['1 day'::interval]
    ARRAY[1, 2, NULL]
    ARRAY[[1, 2], [3, 4]]
    '{}'::int[]
    '[0:2]={1,2,3}'::int[]
    ARRAY['a', 'b,c', '"d"', 'e\\f', NULL, 'NULL', '']
    ARRAY[true, false]
    ARRAY[1.5, NULL]::numeric[]
    ARRAY[1.5]::float8[]
    '{"a": [1, 2.5, null, "é"]}'::json
    '{"a": {"b": true}}'::jsonb
    'null'::jsonb
    '"x"'::jsonb
    ARRAY['{"a": 1}'::json]
    ARRAY['{"a": 1}'::jsonb, NULL]
    'a=>1, b=>NULL, "c d"=>"e"'::hstore
    ARRAY['a=>1'::hstore]
    'Case'::citext
    '[1,5)'::int4range
    'empty'::int4range
    '(,5]'::int8range
    '[1.5,2.5]'::numrange
    '[2024-01-01,2024-02-01)'::daterange
    '[2024-01-01,)'::tsrange
    '[2024-01-01 00:00+00,2024-01-02 00:00+00]'::tstzrange
    ARRAY['[1,5)'::int4range]
    '{[1,3),[5,7)}'::int4multirange
    '192.168.0.1/24'::inet
    '::1'::inet
    '10.0.0.0/8'::cidr
    ARRAY['10.0.0.1'::inet]
    '08:00:2b:01:02:03'::macaddr
    '08:00:2b:01:02:03:04:05'::macaddr8
    12.34::money
    '<a>b</a>'::xml
    '(1,2)'::point
    '((0,0),(1,1))'::box
    '<(0,0),1>'::circle
    '[(0,0),(1,1)]'::path
    B'101'
    B'101'::bit varying
    'a fat cat'::tsvector
    'fat & cat'::tsquery
    'pg_class'::regclass
    'int4'::regtype
    26::oid
    ARRAY[26::oid]
    '16/B374D848'::pg_lsn
    ROW(1, 'a')
    ROW(1, 'spades')::card
    ARRAY[ROW(1, 'spades')::card]
    'happy'::mood
    ARRAY['happy'::mood]
    5::positive
    ctid FROM t
    xmin::text <> '' FROM t
    t FROM t
    1 AS a, 2 AS a, NULL AS "b c"
    generate_series(1, 3), 'x'
    1 WHERE false
    FROM t
    pg_typeof(1)
    '{"a":1}'::jsonpath IS NULL
    '$.a'::jsonpath
    E'\\t\\n\\r\\\\'
    repeat('x', 100000)
    current_setting('TimeZone'), current_setting('DateStyle'), current_setting('client_encoding')
"""


@pytest.fixture(scope="module")
def pair(beside: SideBySide) -> Iterator[list[Any]]:
    """A database on the primary and a wrapped one in lax."""
    beside.reset(SETUP)
    databases = [beside.regions.plain(), beside.regions.lax()]
    yield databases
    for database in databases:
        close(database)


@pytest.fixture
def probes(pair: list[Any]) -> Iterator[list[Probe]]:
    """A fresh connection to each."""
    for database in pair:
        database.connect()
    yield [Probe(database, database.connection()) for database in pair]
    for database in pair:
        database.close()


def compare(probes: list[Probe], *steps: Any) -> None:
    for probe in probes:
        for step in steps:
            probe.do(step)
    assert probes[1].trace == probes[0].trace


@pytest.mark.parametrize("begin", [[], ["BEGIN", "SELECT FROM t FOR UPDATE"]], ids=["on the replica", "on the primary"])
@pytest.mark.parametrize("expression", [line.strip() for line in EXPRESSIONS.strip().splitlines()])
def test_the_value_is_the_same(probes: list[Probe], expression: str, begin: list[str]) -> None:
    compare(probes, *begin, f"SELECT {expression}", "ROLLBACK")


SETTINGS = [
    "SET TimeZone = 'America/New_York'",
    "SET TimeZone = '+05:30'",
    "SET DateStyle = 'SQL, DMY'",
    "SET DateStyle = 'German'",
    "SET IntervalStyle = 'postgres_verbose'",
    "SET IntervalStyle = 'iso_8601'",
    "SET bytea_output = 'escape'",
    "SET extra_float_digits = -3",
    "SET xmlbinary = 'hex'",
    "SET lc_monetary = 'C'",
    "SET client_encoding = 'LATIN1'",
]
SENSITIVE = (
    "'2024-07-01'::date, '2024-07-01 12:00Z'::timestamptz::text, '1 day 02:03:04'::interval::text, 1.1::float8,"
    " '\\x00ff41'::bytea, 5.5::money, 'é', ARRAY['é'], '2024-07-01 12:00Z'::timestamptz"
)


@pytest.mark.parametrize("begin", [[], ["BEGIN", "SELECT FROM t FOR UPDATE"]], ids=["on the replica", "on the primary"])
@pytest.mark.parametrize("setting", SETTINGS)
def test_the_value_is_the_same_under_the_callers_settings(probes: list[Probe], setting: str, begin: list[str]) -> None:
    parts = [f"SELECT {part}" for part in ("'2024-07-01'::date", SENSITIVE.partition(", ")[2])]
    compare(probes, setting, *begin, *parts, "ROLLBACK")


def registered(connection: Any) -> None:
    extras.register_hstore(connection)
    extras.register_default_jsonb(connection, loads=lambda text: ("loaded", json.loads(text)))
    extras.register_composite("card", connection)
    extras.register_uuid(conn_or_curs=connection)
    upper = ext.new_type((25,), "UPPER", lambda value, cursor: value and value.upper())
    ext.register_type(upper, connection)


REGISTERED = (
    "'a=>1, b=>NULL'::hstore, ARRAY['a=>1'::hstore], '{\"a\": 1}'::jsonb, ROW(1, 'spades')::card, "
    "ARRAY[ROW(1, 'x')::card], '8b0cbd1e-9c4c-4f8e-9d0c-111111111111'::uuid, 'text', NULL::text, ROW(1, NULL)::card"
)


@pytest.mark.parametrize("begin", [[], ["BEGIN", "SELECT FROM t FOR UPDATE"]], ids=["on the replica", "on the primary"])
def test_types_registered_with_the_connection_are_used(probes: list[Probe], begin: list[str]) -> None:
    for probe in probes:
        registered(probe.connection)
    compare(probes, *begin, f"SELECT {REGISTERED}", "ROLLBACK")
    assert "loaded" in repr(probes[1].trace)
    assert "TEXT" in repr(probes[1].trace)


def by_cursor(probe: Probe) -> Any:
    cursor = probe.connection.cursor()
    ext.register_type(ext.new_type((23,), "NEGATIVE", lambda value, cursor: -int(value)), cursor)
    cursor.execute("SELECT 5, 'x', ARRAY[5]")
    return cursor.fetchall()


def by_another_cursor(probe: Probe) -> Any:
    cursor = probe.connection.cursor()
    cursor.execute("SELECT 5")
    return cursor.fetchall(), cursor.cast(23, "7"), cursor.string_types


@pytest.mark.parametrize("begin", [[], ["BEGIN", "SELECT FROM t FOR UPDATE"]], ids=["on the replica", "on the primary"])
def test_types_registered_with_a_cursor_are_its_own(probes: list[Probe], begin: list[str]) -> None:
    compare(probes, *begin, by_cursor, by_another_cursor, "ROLLBACK")


def fails_to_cast(probe: Probe) -> Any:
    cursor = probe.connection.cursor()
    ext.register_type(ext.new_type((23,), "FAILS", lambda value, cursor: 1 // 0), cursor)
    cursor.execute("SELECT 5")
    return cursor.fetchall()


@pytest.mark.parametrize("begin", [[], ["BEGIN", "SELECT FROM t FOR UPDATE"]], ids=["on the replica", "on the primary"])
def test_an_error_of_a_caster_is_raised_at_fetch(probes: list[Probe], begin: list[str]) -> None:
    compare(probes, *begin, fails_to_cast, "SELECT 1", "ROLLBACK")
    assert "ZeroDivisionError" in repr(probes[1].trace)


@pytest.mark.parametrize("begin", [[], ["BEGIN"]], ids=["outside a transaction", "in a transaction"])
@pytest.mark.parametrize("encoding", ["LATIN1", "UTF8", "SQL_ASCII", "EUC_JP"])
def test_text_is_written_and_read_in_the_client_encoding(probes: list[Probe], encoding: str, begin: list[str]) -> None:
    def encode(probe: Probe) -> Any:
        probe.connection.set_client_encoding(encoding)
        return probe.connection.encoding

    word = "é" if encoding in ("LATIN1", "UTF8") else "e"
    statements = [("SELECT %s, %s FROM t", (word, [word])), ("SELECT %s FROM t FOR UPDATE", (word,))]
    compare(probes, encode, *begin, *statements, "ROLLBACK")


@pytest.mark.parametrize("before", ["BEGIN", "CREATE TEMP TABLE mine (a int)"])
def test_the_client_encoding_can_change_while_the_primary_holds_the_session(probes: list[Probe], before: str) -> None:
    def encode(probe: Probe) -> Any:
        probe.connection.set_client_encoding("LATIN1")
        return probe.connection.encoding

    statements = [("SELECT %s, 'é'", ("é",)), ("UPDATE t SET id = id RETURNING %s", ("é",))]
    compare(probes, before, *statements, encode, *statements, "COMMIT", *statements)
