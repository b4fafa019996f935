"""What a Postgres session tells of its settings does not depend on them."""

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from fly_orm.postgres.cursors import text_cursor
from fly_orm.postgres.session_report import assignment, read_settings
from fly_orm.testing import Cluster
from tests.support.quoting import skip_without_choice

#: To ask for so many takes longer than a millisecond.
MANY = [f"app.n{number}" for number in range(1_500)]


@pytest.fixture
def cursor(cluster: Cluster, database: str) -> Iterator[Any]:
    connection = cluster.primary.connect(database)
    connection.autocommit = True
    with text_cursor(connection) as cursor:
        yield cursor
    connection.close()


def test_a_timeout_that_is_too_short_for_the_question_is_told_with_the_rest(cursor: Any) -> None:
    cursor.execute("SET work_mem TO '1MB'; SET app.n1 TO 'x'; SET statement_timeout TO '1ms'")
    for _ in range(100):  # on a busy machine, even SHOW takes longer than that
        try:
            found = read_settings(cursor, MANY, anything=True)
            break
        except psycopg2.errors.QueryCanceled:
            continue
    assert {name: value for name, value in found.items() if value is not None} == {
        "app.n1": "x",
        "work_mem": "1024",
        "statement_timeout": "1ms",
        "role": "none",
        "session_authorization": "postgres",
    }
    cursor.execute("SHOW statement_timeout")
    assert cursor.fetchone() == ("1ms",)


@pytest.mark.parametrize("rules", ["SET standard_conforming_strings TO off", "SET client_encoding TO latin1", ""])
@pytest.mark.parametrize("value", ["it's", r"a\b\\c", "€uro", "\x01\x7f", ""])
def test_a_value_is_set_as_it_was_read(cursor: Any, value: str, rules: str) -> None:
    if "standard_conforming_strings" in rules:
        skip_without_choice(cursor)
    cursor.execute("SELECT set_config('app.a', %s, false)", (value,))
    cursor.execute(rules or "SELECT")
    assert read_settings(cursor, ["app.a"], anything=False) == {"app.a": value}
    cursor.execute("SET app.a TO ''")
    cursor.execute(f"SELECT {assignment('app.a', value, 'UTF8')}")
    assert read_settings(cursor, ["app.a"], anything=False) == {"app.a": value}


def test_a_setting_that_was_reset_is_none_and_a_customized_one_empty(cursor: Any) -> None:
    cursor.execute("SET work_mem TO '1MB'; SET app.a TO 'x'; RESET work_mem; RESET app.a")
    assert read_settings(cursor, ["work_mem", "app.a", "app.b"], anything=False) == {
        "work_mem": None,
        "app.a": "",
        "app.b": None,
    }
