"""Queries: reads, unless something in them writes, locks or calls a function that does."""

from __future__ import annotations

from itertools import pairwise

from .functions import Functions, function_names
from .lexer import is_name
from .set_config import set_config
from .statement import Kind, Statement, write
from .temporary import uses_pg_temp

#: What a query begins with, but for parentheses.
QUERY_WORDS = frozenset({"select", "values", "table", "with"})
_LOCKS = (("update",), ("no", "key", "update"), ("share",), ("key", "share"))


def query(part: list[str], functions: Functions) -> Statement:
    """What the query of these tokens is."""
    start = next((i for i, text in enumerate(part) if text != "("), 0)
    if part[start] not in QUERY_WORDS:
        return write("parentheses around no query")
    words = set(part)
    statement = _into(part, words) or _locks(part, words) or _dml(part, words)
    if statement is None and (effects := functions.effects(part)):
        statement = _from_effects(effects, part)
    if statement is None and uses_pg_temp(words):
        statement = write("pg_temp is a schema of one session")
    return statement or Statement(kind=Kind.READ, why=part[start].upper(), function_names=function_names(part))


def _into(part: list[str], words: set[str]) -> Statement | None:
    if "into" not in words:
        return None
    for command in ("insert", "merge"):
        if command in words:
            return write(f"{command.upper()} inside a query")
    after = part[part.index("into") + 1 :][:2]
    return write("SELECT INTO", pins=not {"temp", "temporary"}.isdisjoint(after) or uses_pg_temp(after))


def _locks(part: list[str], words: set[str]) -> Statement | None:
    if "for" not in words:
        return None
    for at in [i + 1 for i, text in enumerate(part) if text == "for"]:
        for lock in _LOCKS:
            if part[at : at + len(lock)] == list(lock):
                return write(f"FOR {' '.join(lock).upper()} locks rows")
    return None


def _dml(part: list[str], words: set[str]) -> Statement | None:
    """DELETE and UPDATE of a WITH; INSERT and MERGE are met by their INTO. Columns may be named like them."""
    if "with" not in words or words.isdisjoint({"delete", "update"}):
        return None
    for text, after in pairwise(part):
        if text == "delete" and after == "from":
            return write("DELETE inside a query")
        if text == "update" and (is_name(after) or after[:2] in {"%s", "%("}):
            return write("UPDATE inside a query")
    return None


def _from_effects(effects: dict[str, str], part: list[str]) -> Statement:
    for effect in ("pins", "primary", "unreadable"):
        if effect in effects:
            return write(f"{effects[effect]}() needs the primary")
    if "settings" in effects:
        return set_config(part)
    return Statement(kind=Kind.SERVER, why=f"{effects['server']}() acts on this server")
