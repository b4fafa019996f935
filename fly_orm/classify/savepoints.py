"""The names of savepoints."""

from __future__ import annotations

import re
from dataclasses import replace

from .lexer import END, identifier, tokens
from .statement import Kind, Statement

_BEFORE_NAME = {
    Kind.SAVEPOINT: re.compile(r"savepoint"),
    Kind.RELEASE: re.compile(r"release( savepoint)?"),
    Kind.ROLLBACK_TO: re.compile(r"(rollback|abort)( work| transaction)? to( savepoint)?"),
}
#: Keywords that cannot name a savepoint unless they are quoted: those that appendix C of the Postgres manual lists as
#: "reserved", including "reserved (can be function or type)". The server reports a syntax error for them.
_RESERVED = re.compile(
    "all|analyse|analyze|and|any|array|as|asc|asymmetric|authorization|binary|both|case|cast|check|collate|collation"
    "|column|concurrently|constraint|create|cross|current_catalog|current_date|current_role|current_schema"
    "|current_time|current_timestamp|current_user|default|deferrable|desc|distinct|do|else|end|except|false|fetch|for"
    "|foreign|freeze|from|full|grant|group|having|ilike|in|initially|inner|intersect|into|is|isnull|join|lateral"
    "|leading|left|like|limit|localtime|localtimestamp|natural|not|notnull|null|offset|on|only|or|order|outer|overlaps"
    "|placing|primary|references|returning|right|select|session_user|similar|some|symmetric|system_user|table"
    "|tablesample|then|to|trailing|true|union|unique|user|using|variadic|verbose|when|where|window|with"
)


def with_name(statement: Statement, sql: str) -> Statement:
    """The statement with the name of its savepoint, if it has one.

    The name is read from the original text, since a quoted name keeps its upper-case letters.
    """
    if statement.kind not in _BEFORE_NAME:
        return statement
    words = [text for text in tokens(sql) if text not in {END, ";"}]
    name = identifier(words[-1])
    if name is None or _RESERVED.fullmatch(words[-1].lower()):
        return statement
    if not _BEFORE_NAME[statement.kind].fullmatch(" ".join(words[:-1]).lower()):
        return statement
    # The server truncates names to 63 bytes in its own encoding, which is not known here, so two could become one.
    return replace(statement, name=name, simple=len(name.encode("utf-8", "replace")) < 64)
