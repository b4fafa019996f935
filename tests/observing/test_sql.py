"""What is shown of the text of a statement."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_orm.classify.lexer import masked
from fly_orm.observing.sql import command, summary


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("SELECT 1", "SELECT ?"),
        (b"SELECT 1.5e10, 'it''s'", "SELECT ?, ?"),
        (
            'SELECT "t1"."id2" FROM t1  WHERE\n id = %s AND x=%(name)s',
            'SELECT "t1"."id2" FROM t1 WHERE id = %s AND x=%(name)s',
        ),
        ("SELECT /* 'a' /* b */ */ 'c' -- d\nFROM t", "SELECT ? FROM t"),
        ("SELECT 0xC0FFEE, 0b11, 1_234.5_6e1_0, -7::int", "SELECT ?, ?, ?, -?::int"),
        ("SELECT $$secret$$, $a$ secret $$ $a$, $1", "SELECT ?, ?, $1"),
        ("SELECT E'it\\'s', U&'a', B'01', x'1F'", "SELECT ?, U&?, B?, x?"),
        ("SELECT 'a\\' OR 'secret'", "SELECT …"),
        ("SELECT 'secret", "SELECT …"),
        ("SELECT /* secret", "SELECT …"),
        ("SELECT $x$ secret", "SELECT …"),
        ('SELECT "a\x1b[2J\nb"', 'SELECT "a\ufffd[2J b"'),
        ("", ""),
    ],
)
def test_literals_and_comments_are_left_out(text: str | bytes, shown: str) -> None:
    assert summary(text) == shown


@given(st.text("'\"\\$ae/*-% \n", max_size=12), st.text("'\"\\$ae/*-% \n", max_size=12))
def test_a_literal_is_never_shown_whatever_is_around_it(before: str, after: str) -> None:
    assert "secret" not in masked(f"{before} 'secret'{after}") or not is_literal(before)


def is_literal(before: str) -> bool:
    """Whether a quote after this text begins a literal."""
    return not any(character in before for character in "'\"$\\") and "/*" not in before and "--" not in before


def test_long_texts_are_cut() -> None:
    text = f"INSERT INTO t VALUES {', '.join(['(1)'] * 100_000)}"
    assert len(summary(text)) == 1000
    assert summary(text).endswith("…")
    assert "secret" not in summary("SELECT " + "a" * 3980 + " 'secret" + "secret" * 1000)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("select 1", "SELECT"),
        ("  COMMIT;", "COMMIT"),
        ("(SELECT 1)", "SELECT"),
        ("/* a */ with x", "WITH"),
        ("", ""),
        ("'a'", ""),
    ],
)
def test_the_command_is_the_first_word(text: str, word: str) -> None:
    assert command(text) == word
