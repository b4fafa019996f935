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


def with_name(statement: Statement, sql: str) -> Statement:
    """The statement with its savepoint's name, if it has one: only the text as it was written has all its letters."""
    if statement.kind not in _BEFORE_NAME:
        return statement
    words = [text for text in tokens(sql) if text not in {END, ";"}]
    name = identifier(words[-1])
    if not _BEFORE_NAME[statement.kind].fullmatch(" ".join(words[:-1]).lower()) or name is None:
        return statement
    # The server cuts names to 63 bytes of its own encoding, which is not known here.
    return replace(statement, name=name, simple=len(name.encode("utf-8", "replace")) < 64)
