"""Queries, which are reads unless something in them writes, locks rows or calls a function that does."""

from __future__ import annotations

from itertools import pairwise

from .known_functions import KnownFunctions, function_names
from .lexer import is_name
from .set_config import set_config
from .statement import Kind, Statement, write
from .temporary import uses_pg_temp

#: The words that a query begins with, after any parentheses.
QUERY_WORDS = frozenset({"select", "values", "table", "with"})
_LOCKS = (("update",), ("no", "key", "update"), ("share",), ("key", "share"))


def query(tokens: list[str], functions: KnownFunctions) -> Statement:
    """The classification of a query."""
    start = next((i for i, text in enumerate(tokens) if text != "("), 0)
    if tokens[start] not in QUERY_WORDS:
        return write("parentheses that do not enclose a query")
    words = set(tokens)
    statement = _into(tokens, words) or _locks(tokens, words) or _dml(tokens, words)
    if statement is None and (effects := functions.effects(tokens)):
        statement = _from_effects(effects, tokens)
    if statement is None and uses_pg_temp(words):
        statement = write("pg_temp is a schema of one Postgres session")
    return statement or Statement(kind=Kind.READ, why=tokens[start].upper(), function_names=function_names(tokens))


def _into(tokens: list[str], words: set[str]) -> Statement | None:
    if "into" not in words:
        return None
    for command in ("insert", "merge"):
        if command in words:
            return write(f"{command.upper()} inside a query")
    after = tokens[tokens.index("into") + 1 :][:2]
    return write("SELECT INTO", leaves_state=not {"temp", "temporary"}.isdisjoint(after) or uses_pg_temp(after))


def _locks(tokens: list[str], words: set[str]) -> Statement | None:
    if "for" not in words:
        return None
    for at in [i + 1 for i, text in enumerate(tokens) if text == "for"]:
        for lock in _LOCKS:
            if tokens[at : at + len(lock)] == list(lock):
                return write(f"FOR {' '.join(lock).upper()} locks rows")
    return None


def _dml(tokens: list[str], words: set[str]) -> Statement | None:
    """DELETE or UPDATE in a WITH. Columns may have these names too. INSERT and MERGE are recognised by their INTO."""
    if "with" not in words or words.isdisjoint({"delete", "update"}):
        return None
    for text, after in pairwise(tokens):
        if text == "delete" and after == "from":
            return write("DELETE inside a query")
        if text == "update" and (is_name(after) or after[:2] in {"%s", "%("}):
            return write("UPDATE inside a query")
    return None


def _from_effects(effects: dict[str, str], tokens: list[str]) -> Statement:
    for effect in ("leaves_state", "locks", "outside", "recovery", "primary", "unreadable"):
        if effect in effects:
            return write(f"{effects[effect]}() needs the primary")
    if "session_settings" in effects:
        return set_config(tokens)
    return Statement(kind=Kind.SERVER, why=f"{effects['server']}() acts on this server")
