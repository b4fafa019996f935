"""Where the tokens of a statement begin and end."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_orm.classify.lexer import (
    END,
    UnterminatedError,
    identifier,
    is_name,
    is_word,
    literal,
    lowered,
    split_statements,
    tokens,
    with_dollar_quoted,
    with_escapes_marked,
)
from fly_orm.classify.token_reader import TokenReader
from fly_orm.classify.unreadable import unreadable
from fly_orm.postgres.making_way import make_way_for

TOKENS = [
    ("nothing", "", []),
    ("white space only", " \t\r\n\f\v", []),
    ("words and marks", "select a.b,c", ["select", "a", ".", "b", ",", "c"]),
    ("letters outside ASCII", "größe\xa0x", ["größe\xa0x"]),
    ("dollar within a word", "a$1$b $1", ["a$1$b", "$", "1"]),
    ("dollar after a number", "1$a$x$a$", ["1", "'$'"]),
    ("number before a word", "1for 1.5e3", ["1", "for", "1.5", "e3"]),
    ("doubled quotes", "'a''b' \"c\"\"d\"", ["'a''b'", '"c""d"']),
    ("adjacent literals", "'a' 'b'", ["'a'", "'b'"]),
    ("escaped literal", r"E'a\'b' e'\\'", [r"E'a\'b'", r"e'\\'"]),
    ("escaped literal on two lines", "E'a' \n '\\'' b", ["E'a' \n '\\''", "b"]),
    ("escaped literal with comments", "e'a'--'\n-- '\n'\\';'b", ["e'a'--'\n-- '\n'\\';'", "b"]),
    ("escaped literal beside a plain one", r"E'a' '\' b", ["E'a'", r"'\'", "b"]),
    ("word that ends in e before a literal", "type'x'", ["type", "'x'"]),
    ("harmless backslashes", r"'a\b' 'c\\'", [r"'a\b'", r"'c\\'"]),
    ("backslash before the end", r"'\' 'a\'", [r"'\'", r"'a\'"]),
    ("unicode name", 'U&"d\\0061" u&"x"', ['"da"', '"x"']),
    (
        "unicode name with its own escapes",
        """u&"d!0061!!" UESCAPE '!' U&"\\+01F600\\d83d\\DE00" """,
        ['"da!"', '"\U0001f600\U0001f600"'],
    ),
    ("unicode name with quotes", """U&"\\0022""x" a""", ['"""""x"', "a"]),
    (
        "unicode name that is wrong",
        """U&"\\006" UESCAPE 'a' u&"\\d800" U&"a" uescape""",
        ['U&"\\006"', 'u&"\\d800"', 'U&"a"'],
    ),
    ("unicode literal", "U&'x'", ["U", "&", "'x'"]),
    ("line comment to a line feed", "a--'\nb", ["a", "b"]),
    ("line comment to a carriage return", "a--'\rb", ["a", "b"]),
    ("line comment to the end", "a --", ["a"]),
    ("three dashes", "1---1\n2", ["1", "2"]),
    ("nested comment", "a/*/*'*/\"*/b", ["a", "b"]),
    ("comment within an operator", "5*/*x*/3", ["5", "*", "3"]),
    ("no comment in a literal", "'--' '/*'", ["'--'", "'/*'"]),
    ("no literal in a comment", "/*'*/ a", ["a"]),
    ("dollar quotes", "$$ ' $$ b", ["'$'", "b"]),
    ("tagged dollar quotes", "$a$ $b$ $A$ $$ $a$ b", ["'$'", "b"]),
    ("cast", "a::int", ["a", ":", ":", "int"]),
    ("placeholders", "%s %(name)s %% %(a-b)s", ["%s", "%(name)s", "%", "%", "%(a-b)s"]),
    ("modulo before a word", "5 %setval(1)", ["5", "%", "setval", "(", "1", ")"]),
    ("modulo of a call", "5 %(f(1))s", ["5", "%", "(", "f", "(", "1", ")", ")", "s"]),
]


ITEMS = [
    "%s",
    "%(p1)s",
    "5",
    " -1.5e-07",
    "'it''s; (,'",
    "'2020-01-01'::date",
    "NULL",
    "true",
    "(%s, %s)",
    "( 1 , 'x' )",
    "'$ -- /*'",
    r"E'it\'s'",
]


@pytest.mark.parametrize("item", ITEMS)
@pytest.mark.parametrize("comma", [",", ", ", "\n,\n"])
def test_most_of_a_long_list_of_constants_is_skipped(item, comma):
    first, last = tokens(item)[:-1], tokens(item)
    found = tokens(f"a in ({comma.join([item] * 5000)}) b")
    assert found[: 3 + len(first)] == ["a", "in", "(", *first]
    assert found[-len(last) - 2 :] == [*last[:-1], ")", "b", END]
    assert len(found) < 300


@pytest.mark.parametrize("item", ITEMS)
@pytest.mark.parametrize(
    "odd",
    ["f(1)", "b", '"c"', "nullif", "%setval", "5 %s", "1--", "/* , */ 1", "$$,$$", "1;2", "U&'x'"],
)
def test_what_stands_between_the_constants_is_not_skipped(item, odd):
    before, after = [item] * 40, [item] * 40
    found = tokens(f"{','.join(before)},{odd}\n,{','.join(after)}")
    alone = tokens(f"{odd}\n")[:-1]
    assert any(found[at : at + len(alone)] == alone for at in range(len(found)))


@pytest.mark.parametrize("wrong", ["'", "'x", '"', "/*", "$a$"])
def test_an_end_that_is_missing_after_a_long_list_is_noticed(wrong):
    with pytest.raises(UnterminatedError):
        tokens(",".join(["1"] * 100) + f", {wrong}" + ", 'y', 2" * (wrong == "/*"))


@pytest.mark.parametrize(("sql", "expected"), [row[1:] for row in TOKENS], ids=[row[0] for row in TOKENS])
def test_tokens(sql, expected):
    assert tokens(sql) == [*expected, END]
    assert lowered(sql) == [*(text.lower() for text in expected), END]


@pytest.mark.parametrize(
    "sql",
    [
        "'a",
        '"a',
        "/* a",
        "/* /* */",
        "$$ a",
        "$a$ $A$",
        r"'a\' b'",
        r"'a\''",
        r"E'a\'",
        'U&"a',
        "'",
        '"',
        "%(a'b)s",
        "%(a--b)s",
    ],
)
def test_no_certain_end(sql):
    for text in (sql, f"select 1, {sql}"):
        with pytest.raises(UnterminatedError):
            tokens(text)


@pytest.mark.parametrize(
    "sql",
    [
        "'" * 20_001,
        r"\'" * 20_000,
        "'" + "''" * 20_000 + r"\'",
        " " * 50_000,
        '"' * 20_001,
        "E'a'" + "\n--" * 20_000,
        "E'a'\n" * 20_000 + "'",
        "%(" * 100_000,
        "%(" * 100_000 + ")",
        "-- a comment\n" + "%(" * 100_000,
        "%(a)s, " * 100_000,
        "a %(b), " * 100_000,
    ],
)
def test_time_is_linear(sql):
    start = time.thread_time()
    with suppress(UnterminatedError):
        tokens(sql)
    assert time.thread_time() - start < 1


@pytest.mark.parametrize("read", [lambda sql: unreadable(sql, "it has no end"), make_way_for], ids=["copy", "drop"])
@pytest.mark.parametrize("piece", ["/**/", "/* a */ ", "-", "--\n", "-- a\n", " ", "(", "/*", "*/"])
def test_comments_that_come_first_are_skipped_in_linear_time(read, piece):
    """One second is a hundred times as long as it takes, and no time at all for what is exponential."""
    start = time.thread_time()
    read(piece * 5_000 + "\n'")
    assert time.thread_time() - start < 1


@pytest.mark.parametrize("comments", ["", "/**/", "/* * a **/ ", "--\n", "------ copy\n  (", "/* -- */\n"])
def test_a_copy_is_found_behind_comments(comments):
    assert unreadable(f"{comments}copy t from stdin where '", "").copy == "in"
    assert unreadable(f"{comments}copied t from stdin where '", "").copy is None


def test_a_plain_literal_that_goes_on_is_one_with_dollar_quoted_ones():
    assert with_dollar_quoted("DO 'a'\n'b''c'; DO $$d'e$$") == ["DO", "'ab''c'", ";", "DO", "'d''e'", END]


@pytest.mark.parametrize(
    ("sql", "marked"),
    [
        (r"SELECT 'x\''; SET a = '1'", r"SELECT  E'x\''; SET a = '1'"),
        (r"SELECT E'x\'', 'y\\'", r"SELECT E'x\'',  E'y\\'"),
        (r"""-- it's '\'""", r"""-- it's '\'"""),
        (r"""/* ' /* */ ' */ "\'" $a$'\'$a$, '\''""", r"""/* ' /* */ ' */ "\'" $a$'\'$a$,  E'\''"""),
        (r"type'a\b', 'it''s'", r"type E'a\b', 'it''s'"),
        (r"SELECT 'x\'", r"SELECT  E'x\'"),
    ],
)
def test_literals_with_escapes_are_marked(sql, marked):
    assert with_escapes_marked(sql) == marked


@given(st.text())
def test_lower_case_keeps_the_index(sql):
    try:
        found = tokens(sql)
    except UnterminatedError:
        with pytest.raises(UnterminatedError):
            lowered(sql)
    else:
        assert len(lowered(sql)) == len(found)


@given(st.text(st.characters(exclude_characters="\\")))
def test_any_text_quoted_is_one_token(text):
    for quote in "'\"":
        quoted = quote + text.replace(quote, quote * 2) + quote
        assert tokens(f"a {quoted} b") == ["a", quoted, "b", END]


def test_statements_leave_empty_ones_out():
    assert split_statements("; SELECT 1 ;; b;';'; ") == [["select", "1", END], ["b", END], ["';'", END]]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Foo", "foo"),
        ("ÄÖ_1", "ÄÖ_1"),
        ('"Foo"', "Foo"),
        ('"a""b"', 'a"b'),
        ('""', None),
        ('U&"a"', None),
        ("'a'", None),
        ("E'a'", None),
        ("%s", None),
        ("1", None),
        (END, None),
    ],
)
def test_identifiers_are_folded_as_the_server_does(text, name):
    assert identifier(text) == name


def test_words_and_names():
    assert is_word("a")
    assert not is_word('"a"')
    assert not is_word("e'a'")
    assert is_name('"a"')
    assert not is_name(END)


@pytest.mark.parametrize(
    ("text", "value"), [("'it''s'", "it's"), (r"'a\b'", r"a\b"), (r"E'a\b'", None), ("'$'", None), ("a", None)]
)
def test_literal_values(text, value):
    assert literal(text) == value


class TestReader:
    def test_accepts_only_what_comes_next(self):
        reader = TokenReader(lowered("read only x"))
        assert not reader.accept("read", "write")
        assert reader.accept("read", "only")
        assert reader.accept_any("y", "x")
        assert [reader.next(), reader.next(), reader.peek()] == [END, END, END]

    def test_parentheses(self):
        reader = TokenReader(lowered("(a (b) ) c"))
        assert reader.skip_parentheses() == ["a", "(", "b", ")", END]
        assert reader.peek() == "c"

    def test_parentheses_that_never_close(self):
        assert TokenReader(lowered("(a (b)")).skip_parentheses() == ["a", "(", "b", ")", END]

    def test_arguments(self):
        assert TokenReader(lowered("(a, f(b, c), d[1,2]) e")).arguments() == [
            ["a", END],
            ["f", "(", "b", ",", "c", ")", END],
            ["d", "[", "1", ",", "2", "]", END],
        ]
