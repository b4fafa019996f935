"""Summaries of statements, as OpenTelemetry's conventions want them."""

from __future__ import annotations

import pytest

from fly_orm.otel.query_summary import summary_of


@pytest.mark.parametrize(
    ("sql", "summary"),
    [
        # The examples of the conventions.
        ("SELECT * FROM wuser_table WHERE username = ?", "SELECT wuser_table"),
        (
            "INSERT INTO shipping_details (order_id, address) SELECT order_id, address FROM orders WHERE order_id = ?",
            "INSERT shipping_details SELECT orders",
        ),
        ("SELECT * FROM songs, artists WHERE songs.artist_id = artists.id", "SELECT songs artists"),
        (
            "SELECT order_date FROM (SELECT * FROM orders o JOIN customers c ON o.customer_id = c.customer_id)",
            "SELECT SELECT orders customers",
        ),
        ('SELECT * FROM "song list", artists', 'SELECT "song list" artists'),
        # What peewee and Pony write.
        (
            'SELECT "t1"."id", "t1"."name" FROM "user" AS "t1" WHERE ("t1"."name" = %s) LIMIT %s OFFSET %s',
            'SELECT "user"',
        ),
        ('INSERT INTO "user" ("name") VALUES (%s) RETURNING "user"."id"', 'INSERT "user"'),
        ('UPDATE "user" SET "name" = %s WHERE ("user"."id" = %s)', 'UPDATE "user"'),
        ('DELETE FROM "shop"."user" WHERE ("user"."id" = %s)', 'DELETE "shop"."user"'),
        ('CREATE TABLE IF NOT EXISTS "user" ("id" SERIAL NOT NULL PRIMARY KEY)', 'CREATE TABLE "user"'),
        ('SELECT "id" FROM "user" WHERE "id" = %(p1)s FOR UPDATE', 'SELECT "user"'),
        # What is no operation, or no target.
        ("INSERT INTO t VALUES (?) ON CONFLICT (id) DO UPDATE SET n = excluded.n", "INSERT t"),
        ("SELECT extract(epoch FROM now()), a IS DISTINCT FROM b FROM t", "SELECT t"),
        (
            "WITH old AS (DELETE FROM cart RETURNING *) INSERT INTO archive SELECT * FROM old",
            "DELETE cart INSERT archive SELECT old",
        ),
        (
            "MERGE INTO stock USING delivery ON stock.id = delivery.id WHEN MATCHED THEN DO NOTHING",
            "MERGE stock delivery",
        ),
        ("COPY users FROM STDIN", "COPY users"),
        ("CALL tidy(?)", "CALL tidy"),
        ("TRUNCATE TABLE ONLY t", "TRUNCATE t"),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", "CREATE UNIQUE INDEX i"),
        ("drop view v", "drop view v"),
        ("SAVEPOINT s1", "SAVEPOINT"),
        ("BEGIN", "BEGIN"),
        ("SET search_path TO shop", "SET"),
        ("", ""),
        ("?", ""),
    ],
)
def test_the_operations_and_their_targets_make_the_summary(sql, summary):
    assert summary_of(sql) == summary


def test_a_long_summary_ends_with_a_whole_name():
    summary = summary_of("SELECT * FROM " + ", ".join(f"a_table_with_number_{number}" for number in range(50)))
    assert len(summary) <= 255
    assert summary.split()[-1] == f"a_table_with_number_{len(summary.split()) - 2}"
