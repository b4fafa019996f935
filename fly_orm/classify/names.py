"""The names of savepoints and of cursors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from .lexer import identifier, split, tokens
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


#: What may be between these commands and the name of a cursor. FETCH and MOVE take a direction, too.
_BEFORE_CURSOR = {
    "close": re.compile(""),
    "declare": re.compile(""),
    "fetch": re.compile(r"[a-z0-9 +%-]*"),
    "move": re.compile(r"[a-z0-9 +%-]*"),
}


def with_names(statements: list[Statement], parts: list[list[str]], sql: str) -> list[Statement]:
    """The statements of a text, of these parts, with the names of their savepoints and cursors, if they have any.

    The names are read from the original text, since a quoted name keeps its upper-case letters.
    """
    named = any(part[0] in _BEFORE_CURSOR for part in parts) or any(each.kind in _BEFORE_NAME for each in statements)
    if not named:
        return statements
    return [_with_name(*each) for each in zip(statements, split(tokens(sql)), strict=True)]


def _with_name(statement: Statement, text: Sequence[str]) -> Statement:
    words = text[:-1]
    command = words[0].lower()
    if command in _BEFORE_CURSOR:
        return replace(statement, cursor=_cursor(command, words))
    if statement.kind not in _BEFORE_NAME:
        return statement
    name = identifier(words[-1])
    if name is None or _RESERVED.fullmatch(words[-1].lower()):
        return statement
    if not _BEFORE_NAME[statement.kind].fullmatch(" ".join(words[:-1]).lower()):
        return statement
    # The server truncates names to 63 bytes in its own encoding, which is not known here, so two could become one.
    return replace(statement, name=name, simple=len(name.encode("utf-8", "replace")) < 64)


def _cursor(command: str, words: Sequence[str]) -> str | None:
    if len(words) < 2:
        return None
    if command == "close" and words[-1].lower() == "all":
        return ""
    before, name = ([], words[1]) if command == "declare" else (words[1:-1], words[-1])
    return identifier(name) if _BEFORE_CURSOR[command].fullmatch(" ".join(before).lower()) else None
