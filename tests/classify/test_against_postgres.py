"""The classifier against a real hot standby, and against the server's own lists of keywords and functions."""

from __future__ import annotations

import random
import re
from contextlib import suppress
from dataclasses import replace

import psycopg2
import pytest
from psycopg2.extensions import TRANSACTION_STATUS_INTRANS, quote_ident

from fly_orm.classify import Classifier, Kind
from tests.classify.table import ACCEPTED, NOT_RUN, OTHER_MEANING, ROWS, SCHEMA
from tests.support.quoting import skip_without_choice
from tests.support.shared_cluster import restore

DATABASE = "classify"
CLASSIFY = Classifier()

#: Volatile functions of the server that a replica may be asked for: they read, or touch nothing but the call itself.
READING_FUNCTIONS = re.compile(
    r"""
      amvalidate | array_sample | array_shuffle | clock_timestamp | current_query | currtid2 | cursor_to_xml |
      cursor_to_xmlschema | gen_random_uuid | query_to_xml | query_to_xml_and_xmlschema | query_to_xmlschema |
      random | random_normal | setseed | timeofday | timezone | ts_rewrite | ts_stat | txid_status | uuidv4 | uuidv7 |
      pg_available_wal_summaries | pg_blocking_pids | pg_collation_actual_version | pg_control_checkpoint |
      pg_control_init | pg_control_recovery | pg_control_system | pg_database_collation_actual_version |
      pg_database_size | pg_get_aios | pg_get_backend_memory_contexts | pg_get_dsm_registry_allocations |
      pg_get_loaded_modules | pg_get_multixact_members | pg_get_multixact_stats | pg_get_replication_slots |
      pg_get_sequence_data | pg_get_shmem_allocations | pg_get_shmem_allocations_numa | pg_get_wait_events |
      pg_get_wal_replay_pause_state | pg_get_wal_resource_managers | pg_get_wal_summarizer_state |
      pg_hba_file_rules | pg_ident_file_mappings | pg_indexes_size | pg_is_in_backup | pg_is_in_recovery |
      pg_is_wal_replay_paused | pg_isolation_test_session_is_blocked |
      pg_jit_available | pg_last_committed_xact | pg_last_wal_receive_lsn | pg_last_wal_replay_lsn |
      pg_last_xact_replay_timestamp | pg_lock_status | pg_notification_queue_usage | pg_partition_ancestors |
      pg_partition_tree | pg_prepared_xact | pg_relation_size | pg_safe_snapshot_blocking_pids |
      pg_sequence_last_value | pg_show_all_file_settings | pg_show_replication_origin_status | pg_sleep |
      pg_sleep_for | pg_sleep_until | pg_stat_clear_snapshot | pg_stat_force_next_flush | pg_stat_have_stats |
      pg_table_size | pg_tablespace_size | pg_total_relation_size | pg_wal_summary_contents |
      pg_xact_commit_timestamp | pg_xact_commit_timestamp_origin | pg_xact_status
    """,
    re.VERBOSE,
)


@pytest.fixture(scope="module")
def standby(cluster):
    """The replica of a database that has what the table's statements refer to."""
    restore(cluster)  # this comes before what is done for each test
    cluster.create_database(DATABASE)
    con = cluster.primary.connect(DATABASE)
    con.cursor().execute(SCHEMA)
    con.close()
    cluster.wait_for_replica()
    yield cluster.replica
    cluster.drop_database(DATABASE)


@pytest.fixture
def cursor(standby):
    """A cursor of a new session on the standby, so that no statement meets what another has left."""
    con = standby.connect(DATABASE)
    con.autocommit = True
    yield con.cursor()
    con.close()


def answer(cursor, row):
    """What the server says to a statement: ACCEPTED, or the SQLSTATE of its refusal."""
    try:
        if row.in_transaction:
            cursor.execute("BEGIN")
        cursor.execute(row.sql)
    except psycopg2.Error as error:
        return error.pgcode
    return ACCEPTED


@pytest.mark.parametrize("row", [row for row in ROWS if row.standby != NOT_RUN], ids=lambda row: row.id)
def test_the_standby_says_what_the_table_says(cursor, row):
    if "MERGE INTO" in row.sql and cursor.connection.server_version < 15_00_00:
        pytest.skip("PostgreSQL 15 is the first that has MERGE")
    assert answer(cursor, row) in row.standby.replace(OTHER_MEANING, ACCEPTED).split(" or ")


@pytest.mark.parametrize("catcode", ["R", "T", "C", "U"])
def test_a_statement_beginning_with_any_other_keyword_is_no_read(cursor, catcode):
    cursor.execute("SELECT word FROM pg_get_keywords() WHERE catcode = %s", (catcode,))
    words = {word for (word,) in cursor.fetchall()}
    reads = {word for word in words if CLASSIFY(f"{word} x").kind is Kind.READ}
    assert reads == words & {"select", "values", "table", "with", "show"}
    assert not any(CLASSIFY(f"EXPLAIN ANALYZE {word} x").kind is Kind.READ for word in words - reads)


def test_every_volatile_function_of_the_server_has_been_judged(cursor):
    cursor.execute(
        """SELECT DISTINCT proname FROM pg_proc WHERE provolatile = 'v' AND pronamespace = 'pg_catalog'::regnamespace
           AND prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'language_handler'::regtype)
           AND NOT ('internal'::regtype = ANY (proargtypes)) AND proname !~ '^pg_stat_get_|^plpgsql_'"""
    )
    names = {name for (name,) in cursor.fetchall()}
    reads = {name for name in names if CLASSIFY(f"SELECT {name}()").kind is Kind.READ}
    assert {name for name in reads if not READING_FUNCTIONS.fullmatch(name)} == set()


@pytest.fixture
def on_primary(cluster, standby):
    """A cursor of a new session on the primary."""
    con = cluster.primary.connect(DATABASE)
    con.autocommit = True
    yield con.cursor()
    con.close()


SYNTAX_ERROR = "42601"
SAVEPOINTS = {Kind.SAVEPOINT, Kind.RELEASE, Kind.ROLLBACK_TO}


def value(cursor, sql):
    cursor.execute(sql)
    return cursor.fetchone()[0]


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.facts.get("name") and row.kind in SAVEPOINTS], ids=lambda r: r.id
)
def test_the_server_knows_a_savepoint_by_the_name_told(on_primary, row):
    name = quote_ident(CLASSIFY(row.sql).name, on_primary)
    on_primary.execute(f"BEGIN; SAVEPOINT {name}")
    on_primary.execute(row.sql)
    if row.kind is not Kind.RELEASE:
        on_primary.execute(f"RELEASE {name}")
    assert on_primary.connection.info.transaction_status == TRANSACTION_STATUS_INTRANS


@pytest.mark.parametrize(
    "command", ["SAVEPOINT", "RELEASE", "RELEASE SAVEPOINT", "ROLLBACK TO", "ROLLBACK WORK TO SAVEPOINT"]
)
def test_the_server_refuses_the_keywords_that_are_told_to_name_no_savepoint(cursor, command):
    cursor.execute("SELECT word FROM pg_get_keywords()")
    words = [word for (word,) in cursor.fetchall()]
    refused = {word for word in words if refusal(cursor, f"{command} {word}") == SYNTAX_ERROR}
    assert refused == {word for word in words if not CLASSIFY(f"{command} {word}").simple}


def refusal(cursor, sql):
    """The SQLSTATE of the refusal of a statement that no server accepts outside a transaction."""
    with pytest.raises(psycopg2.Error) as caught:
        cursor.execute(sql)
    return caught.value.pgcode


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.kind is Kind.BEGIN and CLASSIFY(row.sql).simple], ids=lambda r: r.id
)
def test_the_server_begins_what_was_told(on_primary, row):
    told = CLASSIFY(row.sql)
    on_primary.execute(row.sql)
    if told.read_only or value(on_primary, "SHOW transaction_isolation") != "serializable":
        assert value(on_primary, "SHOW transaction_read_only") == ("on" if told.read_only else "off")


PIECES = [
    "'",
    "''",
    "\\",
    "\\\\",
    '"',
    "$$",
    "$a$",
    "$A$",
    "--",
    "/*",
    "*/",
    "E'",
    "e",
    "U&",
    "a",
    "1",
    ";",
    ",",
    "'x'",
    '"x"',
    "$1",
    "B",
    "x$a$",
    "||",
    "::text",
    "(",
    ")",
    "%",
    "+",
    "-",
    "/",
    "*",
    "as",
    "é",
    "%s",
    "%(a)s",
]
CALL = "nextval('s')"


@pytest.mark.parametrize("conforming", ["on", "off"])
def test_no_text_that_is_told_to_be_a_read_has_an_effect(on_primary, conforming):
    if conforming == "off":
        skip_without_choice(on_primary)
        on_primary.execute("SET standard_conforming_strings = off; SET escape_string_warning = off")
    on_primary.execute("ALTER SEQUENCE s RESTART")  # which other tests have used
    chance = random.Random(conforming)
    pieces = [*PIECES, " ", "\n", "\r", CALL, f"; SELECT {CALL}", f", {CALL}"]
    ran = 0
    while ran < 200:
        soup = "".join(chance.choices(pieces, k=chance.randint(2, 8)))
        sql = f"SELECT 'q'{chance.choice([', ', '; ', ' '])}{soup}{chance.choice(['', '--', '*/', '$$', CALL])}"
        if CALL in sql and CLASSIFY(sql).kind is Kind.READ:
            with suppress(psycopg2.Error):
                on_primary.execute(sql)
                ran += 1
    assert not value(on_primary, "SELECT is_called FROM s")


def test_what_is_said_to_take_a_snapshot_takes_one(on_primary):
    """The isolation level can be set until then, and not after it (Postgres manual, SET TRANSACTION)."""
    checked = set()
    for row in ROWS:
        statement = CLASSIFY(row.sql)
        if row.standby == NOT_RUN or not statement.takes_snapshot or statement.controls:
            continue
        on_primary.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL lock_timeout TO '1s'")
        if answer(on_primary, replace(row, in_transaction=False)) is ACCEPTED:
            checked.add(row.id)
            with pytest.raises(psycopg2.errors.ActiveSqlTransaction, match="before any query"):
                on_primary.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        on_primary.execute("ROLLBACK")
    assert len(checked) > 100
