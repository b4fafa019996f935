"""Which statements may return much, judged by their text."""

from __future__ import annotations

import re

from .lexer import UnterminatedError, split_statements

#: The first words of statements that return rows, and what a comment or a query in parentheses begins with.
_RETURNS = re.compile(
    rb"\s*(?:select|with|fetch|values|table|execute|explain|show|insert|update|delete|merge|\(|--|/\*)", re.IGNORECASE
)
#: The end of a statement that returns nothing but columns.
_COLUMNS = re.compile(rb'returning[\w\s".,]+')
#: What makes an INSERT one of more rows than its text has.
_QUERY = re.compile(rb"\b(?:select|table)\b")
_WRITE = re.compile(rb"\s*(?:insert|update|delete|merge)\b", re.IGNORECASE)
#: The first words of the commands that may have a RETURNING. What begins with another one may have that word in a name,
#: a literal or a block, and may be unable to run in a transaction, as CALL, DO, VACUUM and CREATE INDEX CONCURRENTLY.
_MAY_RETURN = frozenset({"insert", "update", "delete", "merge", "with", "(", "copy", "explain", "select"})


def may_return_much(sql: bytes) -> bool:
    """Whether a statement may return many or long rows."""
    if _RETURNS.match(sql) is None:
        return False
    return _WRITE.match(sql) is None or returns_much(sql)


def returns_much(sql: bytes) -> bool:
    """Whether a statement has a RETURNING that may return much, which makes it a write."""
    lowered = sql.lower()
    at = lowered.rfind(b"returning")
    # An INSERT of values in its text that returns columns is short; ORMs make it to learn a key.
    return at >= 0 and not (
        lowered.lstrip().startswith(b"insert")
        and _COLUMNS.fullmatch(lowered, at) is not None
        and _QUERY.search(lowered) is None
    )


def may_have_returning(sql: bytes) -> bool:
    """Whether a statement in which the word stands is of a kind that may have a RETURNING.

    True for several in one string, which Postgres executes in one transaction in any case.
    """
    if _WRITE.match(sql) is not None:
        return True
    try:
        commands = split_statements(sql.decode("utf-8", "replace"))
    except UnterminatedError:
        return True
    return len(commands) != 1 or commands[0][0] in _MAY_RETURN
