"""What a statement is told to be, and what no change of its looks can alter."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fly_orm.classify import Classifier, Kind
from tests.classify.table import READS, ROWS

CLASSIFY = Classifier()
SELECTS = [row.sql for row in READS if row.sql.upper().startswith("SELECT ")]
WORDS_ONLY = [row for row in ROWS if row.sql.replace(" ", "").isalnum()]
NOTHING_QUOTED = [row for row in ROWS if not any(mark in row.sql for mark in "'\"$%")]
CLOSED = [row for row in ROWS if "no certain end" not in CLASSIFY(row.sql).why and "\\'" not in row.sql]
DML = ["INSERT INTO t VALUES (1)", "UPDATE t SET a = 1", "DELETE FROM t", "UPDATE \"t\" SET a = 'x'", "DELETE FROM %s"]
CLOSED_WRITES = [row for row in CLOSED if row.kind is Kind.WRITE]
#: Whatever separates tokens without meaning anything.
gaps = st.sampled_from([" ", "\n", "\t", "/* c */", "/* a /* b */ ; ' */", "-- it's\n", "--\r", "\f\r\n"])


def test_no_statement_is_in_the_table_twice():
    ids = [row.id for row in ROWS]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_kind_and_facts(row):
    statement = CLASSIFY(row.sql)
    assert statement.kind is row.kind, statement
    assert {name: getattr(statement, name) for name in row.facts} == row.facts


def test_of_several_those_that_are_about_transactions_are_kept():
    statement = CLASSIFY('SAVEPOINT A; SELECT 1; rollback to "A"; COMMIT AND CHAIN; FETCH 1 FROM c;')
    assert [(each.kind, each.name, each.simple) for each in statement.controls] == [
        (Kind.SAVEPOINT, "a", True),
        (Kind.ROLLBACK_TO, "A", True),
        (Kind.COMMIT, None, False),
    ]
    assert statement.cursor is None


class TestFunctionsNamedByTheUser:
    classify = Classifier(["Swallows", "app.next_invoice", "other.Next_Invoice"])

    @pytest.mark.parametrize(
        ("sql", "kind"),
        [
            ("SELECT swallows()", Kind.WRITE),
            ("SELECT any.swallows()", Kind.WRITE),
            ("SELECT app.next_invoice(1)", Kind.WRITE),
            ('SELECT "app"."next_invoice"(1)', Kind.WRITE),
            ("SELECT OTHER . next_invoice(1)", Kind.WRITE),
            ("SELECT next_invoice(1)", Kind.WRITE),  # which one that is, the search path tells
            ("SELECT third.next_invoice(1)", Kind.READ),
            ("SELECT next_invoice FROM app.swallows", Kind.READ),
        ],
    )
    def test_need_the_primary(self, sql, kind):
        assert self.classify(sql).kind is kind

    def test_mean_nothing_to_another_classifier(self):
        assert CLASSIFY("SELECT swallows()").kind is Kind.READ


class Session:
    def __init__(self, conforming: str) -> None:
        self.conforming = conforming

    def get_parameter_status(self, parameter: str) -> str:
        return {"standard_conforming_strings": self.conforming}[parameter]


class TestBackslashes:
    def test_are_ordinary_characters(self):
        assert CLASSIFY(r"SELECT pg_advisory_lock(1), 'x\'").leaves_state
        assert CLASSIFY(r"SELECT enter('x\')").user_calls == {"enter"}
        assert CLASSIFY(r"SET app.a TO 'b\'").name == "app.a"
        assert CLASSIFY(r"COPY t FROM STDIN WITH (FORMAT csv, ESCAPE '\')").copy == "in"
        assert CLASSIFY(r"COPY (SELECT 1) TO STDOUT (FORMAT csv, ESCAPE '\')").copy == "out"

    def test_escape_if_the_session_says_so(self):
        classify = Classifier()
        hidden = r"SELECT 'x\''; SET app.a TO '1' -- '"
        for _ in range(2):
            assert classify(hidden, Session("on")).kind is Kind.READ
            assert classify(hidden, Session("off")).changes.settings == {"app.a"}
        assert classify(r"DO 'BEGIN PERFORM 1; END' -- \ ", Session("off")).changes.anything

    @pytest.mark.parametrize("sql", ["SELECT f(), 'x", "SET a.b = 1; SELECT /*", "COPY t FROM STDIN (ESCAPE 'x)"])
    def test_a_text_without_an_end_may_do_anything(self, sql):
        statement = CLASSIFY(sql)
        assert statement.kind is Kind.WRITE
        assert statement.changes.anything
        assert statement.counts_on_primary
        assert statement.copy == ("in" if sql.startswith("COPY") else None)
        assert statement.ends_transaction == (";" in sql)


class TestMemo:
    def test_gives_the_same_statement_again(self):
        classify = Classifier()
        assert classify("SELECT 12") is classify("SELECT 12")

    def test_stays_bounded(self):
        classify = Classifier()
        for number in range(10_000):
            classify(f"SELECT {number}")
        assert len(classify._cache) < 5000

    def test_does_not_keep_long_texts(self):
        classify = Classifier()
        assert classify(f"SELECT '{'x' * 10_000}'").kind is Kind.READ
        assert classify._cache == {}

    def test_does_not_keep_a_text_that_comes_once(self):
        classify = Classifier()
        assert classify.once("SELECT nextval('s')").kind is Kind.WRITE
        assert classify.once(r"SELECT 'a\', nextval('s') --'", Session("off")).kind is Kind.READ
        assert classify.once("SET synchronous_commit TO off").asynchronous
        assert classify._cache == classify._standard == classify._escaping == {}

    def test_serves_several_threads(self):
        classify = Classifier()
        wrong = []

        def work():
            wrong.extend(
                number
                for number in range(5000)
                if classify(f"SELECT {number}").kind is not Kind.READ or classify("DROP TABLE t").kind is Kind.READ
            )

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


class TestBulkInsert:
    rows = ", ".join(["(1, 'some text')"] * 2000)

    def test_is_a_write(self):
        assert CLASSIFY(f"INSERT INTO t VALUES {self.rows}").kind is Kind.WRITE

    def test_is_read_to_its_end_if_something_may_follow(self):
        assert CLASSIFY(f"INSERT INTO t VALUES {self.rows}; SET a.b = 1").changes.settings == {"a.b"}
        assert CLASSIFY(f"INSERT INTO t VALUES {self.rows}; LISTEN c").kind is Kind.LISTEN
        assert CLASSIFY(f"INSERT INTO t VALUES {self.rows}, (pg_advisory_lock(1), '')").leaves_state
        assert CLASSIFY(f"INSERT INTO t VALUES {self.rows} RETURNING setseed(1)").leaves_state

    @pytest.mark.parametrize(
        "end",
        [
            "RETURNING enter('b')",
            "RETURNING (SELECT 1 FROM s.enter('b'))",
            "RETURNING enter/**/('b')",
            "RETURNING enter -- x\n('b')",
            "-- it's\n RETURNING enter('b'), 'x'",
            "RETURNING E'\\'', enter('b'), 'x'",
            "RETURNING $$'$$, enter('b'), 'x'",
            "RETURNING \"it's\", enter('b'), 'x'",
            f"RETURNING enter{' ' * 200}('b')",
            "ON CONFLICT (a) DO UPDATE SET b = \"enter\"('b')",
        ],
    )
    def test_calls_functions_after_its_rows(self, end):
        assert CLASSIFY(f"INSERT INTO t VALUES {self.rows} {end}").user_calls == {"enter"}

    @pytest.mark.parametrize("text", ["'a; it''s'", "E'it\\'s'"])
    def test_of_literals_is_fast(self, text):
        sql = f"INSERT INTO t VALUES {', '.join([f'(1, {text})'] * 100_000)}"
        start = time.thread_time()
        assert CLASSIFY(sql).user_calls == frozenset()
        assert time.thread_time() - start < 1

    def test_may_do_anything_if_it_calls_what_cannot_be_told(self):
        assert CLASSIFY(f'INSERT INTO t VALUES {self.rows} RETURNING U&"\\d800"(1)').changes.anything
        assert CLASSIFY(f'INSERT INTO t VALUES {self.rows} RETURNING U&"\\0065nter"(1)').user_calls == {"enter"}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT DISTINCT ON (a, (b)) enter(a) FROM t",
        "SELECT a[1:enter(2)], a[:1] FROM t",
        "SELECT * FROM enter('a') AS (name text)",
        "SELECT * FROM t, enter('a') AS e(name text)",
        "SELECT * FROM t JOIN LATERAL enter(t.a) AS (name text) ON true",
        "WITH x (a) AS MATERIALIZED (SELECT enter(1)), y (b) AS (VALUES (1)) SELECT 1",
        "WITH x (a) AS (((SELECT 1))), y (a) AS (DELETE FROM t RETURNING 1) SELECT enter(a) FROM x",
    ],
)
def test_calls_are_told_from_names_and_types(sql):
    assert CLASSIFY(sql).user_calls == {"enter"}


@pytest.mark.parametrize(
    "sql",
    [
        "WITH RECURSIVE x (a) AS (SELECT 1 UNION SELECT a FROM x), y (a) AS NOT MATERIALIZED (TABLE x) TABLE y",
        "SELECT a::mine(3), b::numeric(5, 2) FROM (VALUES (1, 2)) v (a, b)",
        "SELECT * FROM unnest(ARRAY[1]) AS u (a)",
        "INSERT INTO mine (a) VALUES (1) ON CONFLICT (a) DO NOTHING",
        "MERGE INTO t USING u ON t.a = u.a WHEN NOT MATCHED THEN INSERT (a) VALUES (1)",
        "SELECT a, GROUPING(a) FROM t WHERE a BETWEEN SYMMETRIC (1) AND (3) GROUP BY ROLLUP (a)",
        "COPY t TO STDOUT (FORMAT csv)",
    ],
)
def test_names_and_types_are_told_from_calls(sql):
    assert CLASSIFY(sql).user_calls == frozenset()


class TestProperties:
    @given(st.text())
    def test_any_text_is_something(self, text):
        assert CLASSIFY(text).kind in Kind

    @given(st.lists(st.sampled_from([*"'\"\\$%();,.-/*", "--", "/*", "*/", "$a$", "E'", "U&", "select", "set", "%s"])))
    def test_any_heap_of_tokens_is_something(self, pieces):
        assert CLASSIFY(" ".join(pieces)).kind in Kind
        assert CLASSIFY("".join(pieces)).kind in Kind

    @given(st.sampled_from(CLOSED), gaps, gaps)
    def test_gaps_around_a_statement_change_nothing(self, row, before, after):
        assert CLASSIFY(before + row.sql + "\n" + after) == CLASSIFY(row.sql)

    @given(st.sampled_from(WORDS_ONLY), st.data())
    def test_gaps_within_a_statement_change_nothing(self, row, data):
        words = row.sql.split(" ")
        mixed = words[0] + "".join(data.draw(gaps) + word for word in words[1:])
        assert CLASSIFY(mixed) == CLASSIFY(row.sql)

    @given(st.sampled_from(NOTHING_QUOTED), st.data())
    def test_case_changes_no_kind(self, row, data):
        mixed = "".join(data.draw(st.sampled_from([c.lower(), c.upper()])) if c.isascii() else c for c in row.sql)
        assert CLASSIFY(mixed).kind is row.kind

    @given(st.sampled_from(DML), st.text("abc_", min_size=1), st.sampled_from(["", "MATERIALIZED", "NOT MATERIALIZED"]))
    def test_a_write_in_a_cte_is_no_read(self, dml, name, how):
        assert CLASSIFY(f'WITH "{name}" AS {how} ({dml} RETURNING 1) SELECT 1').kind is Kind.WRITE
        assert CLASSIFY(f'WITH "{name}" AS {how} (SELECT 1) {dml}').kind is Kind.WRITE
        assert CLASSIFY(f"EXPLAIN ANALYZE WITH x AS ({dml} RETURNING 1) SELECT 1").kind is Kind.WRITE
        assert CLASSIFY(f"COPY (WITH x AS ({dml} RETURNING 1) SELECT 1) TO STDOUT").kind is Kind.WRITE

    @given(st.sampled_from(SELECTS), st.text(st.characters(exclude_characters="\\\0")))
    def test_a_read_with_any_literal_in_it_is_a_read(self, sql, text):
        literal = "'" + text.replace("'", "''") + "'"
        assert CLASSIFY(f"SELECT {literal}, {sql[7:]}").kind is Kind.READ

    @given(st.sampled_from(SELECTS), st.text(min_size=1))
    def test_a_read_with_any_quoted_name_in_it_is_a_read(self, sql, text):
        assume(text.lower() != "pg_temp")
        name = '"' + text.replace('"', '""') + '"'
        assert CLASSIFY(f"SELECT 1 AS {name}, {sql[7:]}").kind is Kind.READ

    @given(
        st.sampled_from(SELECTS),
        st.text(st.characters(exclude_characters="$\0")),
        st.sampled_from(["", "a", "Q_1"]),
    )
    def test_a_read_with_any_dollar_quote_in_it_is_a_read(self, sql, text, tag):
        assert CLASSIFY(f"SELECT ${tag}${text}${tag}$, {sql[7:]}").kind is Kind.READ

    @given(st.sampled_from([row.sql for row in READS]), st.sampled_from(CLOSED_WRITES))
    def test_a_write_after_a_semicolon_is_no_read(self, sql, row):
        assert CLASSIFY(f"{sql}\n;{row.sql}").kind is Kind.WRITE
        assert CLASSIFY(f"{row.sql}\n;{sql}").kind is not Kind.READ
