"""Emptying a database: whatever the tables and the sequences are like."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest

from fly_orm.testing.tables import truncate


@pytest.fixture
def ask(cluster, database):
    """Executes a statement on the primary; the first column of its rows. ``ask.connection`` is the connection."""
    with closing(cluster.primary.connect(database)) as connection, connection.cursor() as cursor:

        def execute(statement):
            cursor.execute(statement)
            return [row[0] for row in cursor.fetchall()] if cursor.description else []

        execute.connection = connection
        yield execute


@pytest.mark.parametrize("name", ['"Shop"."Item"', '"a ""b"" %s".item', "public.item"])
def test_names_that_have_to_be_quoted(ask, name):
    ask(f"CREATE SCHEMA IF NOT EXISTS {name.rpartition('.')[0]}")
    ask(f"CREATE TABLE {name} (id serial PRIMARY KEY)")
    ask(f"INSERT INTO {name} DEFAULT VALUES")
    truncate(ask.connection)
    assert ask(f"SELECT id FROM {name}") == []
    assert ask(f"INSERT INTO {name} DEFAULT VALUES RETURNING id") == [1]


@pytest.mark.parametrize("column", ["serial", "int GENERATED ALWAYS AS IDENTITY"])
def test_the_number_that_a_failed_insert_has_taken_is_given_again(ask, column):
    ask(f"CREATE TABLE item (id {column} PRIMARY KEY, amount int CHECK (amount > 0))")
    with pytest.raises(psycopg2.errors.CheckViolation):
        ask("INSERT INTO item (amount) VALUES (0)")
    truncate(ask.connection)
    assert ask("INSERT INTO item (amount) VALUES (1) RETURNING id") == [1]


def test_a_partitioned_table_begins_again(ask):
    ask("CREATE TABLE item (id serial, at int) PARTITION BY RANGE (at)")
    ask("CREATE TABLE item_1 PARTITION OF item FOR VALUES FROM (0) TO (10)")
    ask("INSERT INTO item (at) VALUES (1)")
    truncate(ask.connection, frozenset({"item"}))
    assert ask("SELECT id FROM item") == [1]
    truncate(ask.connection)
    assert ask("INSERT INTO item (at) VALUES (1) RETURNING id") == [1]


def test_a_sequence_of_its_own_begins_again_unless_a_table_that_is_kept_needs_it(ask):
    ask("CREATE SEQUENCE number START 7")
    ask("CREATE SEQUENCE ticket")
    ask("CREATE TABLE item (id int DEFAULT nextval('number'))")
    ask("INSERT INTO item DEFAULT VALUES")
    ask("SELECT nextval('ticket')")
    truncate(ask.connection, frozenset({"item", "ticket"}))
    assert ask("INSERT INTO item DEFAULT VALUES RETURNING id") == [8]
    assert ask("SELECT nextval('ticket')") == [2]
    truncate(ask.connection)
    assert ask("INSERT INTO item DEFAULT VALUES RETURNING id") == [7]
    assert ask("SELECT nextval('ticket')") == [1]
