"""set_config(), the function that does the same as SET."""

from __future__ import annotations

from itertools import pairwise

from .lexer import END, is_name, literal
from .session_change import NOTHING, STICKS, SessionChange, changes_for_now, changes_settings
from .session_settings import breaks_reads, creating_in_pg_temp
from .statement import Kind, Statement, write
from .temporary import creates_in_pg_temp
from .token_reader import TokenReader

#: Names before a parenthesis that do not prevent a query with set_config() from running in two sessions.
_REPEATABLE = {"select", "values", "coalesce", "nullif", "current_setting", "concat", "format", "cast"}
_REPEATABLE |= {"set_config", '"set_config"'}


def set_config(tokens: list[str]) -> Statement:
    """The classification of a query that calls the function.

    It is a SET if it has the same effect when it runs in two sessions, on the replica and on the primary.
    """
    called = {name for name, after in pairwise(tokens) if after == "(" and is_name(name)}
    if "from" in tokens or called - _REPEATABLE:
        return write("set_config() within a query")
    calls = calls_of_set_config(tokens)
    names = [_value(call, 0) for call in calls]
    if "seed" in names:
        return write("the seed belongs to one Postgres session", leaves_state=True)
    values = [(name, _value(call, 1)) for name, call in zip(names, calls, strict=True)]
    if any(name == "search_path" and creates_in_pg_temp(value) for name, value in values):
        return creating_in_pg_temp(",".join(filter(None, names)), local=is_local(calls))
    breaks = any(breaks_reads(name, value) for name, value in values)
    name = None if None in names else ",".join(filter(None, names))
    if is_local(calls):
        return Statement(kind=Kind.SET_LOCAL, why="set_config()", name=name, primary_only=breaks)
    changes = STICKS if name is None else NOTHING
    if name and not {"case", "where", "coalesce"}.isdisjoint(tokens):
        changes = changes_settings(name.split(","))
    return Statement(kind=Kind.SET, why="set_config()", name=name, primary_only=breaks, changes=changes)


def session_change(tokens: list[str]) -> SessionChange:
    """What calls of set_config() in a statement may change."""
    change = NOTHING
    for call in calls_of_set_config(tokens):
        name = _value(call, 0)
        if is_local([call]):
            change |= changes_for_now([name or ""])
        else:
            change |= STICKS if name is None else changes_settings([name])
    return change


def calls_of_set_config(tokens: list[str]) -> list[list[list[str]]]:
    """The arguments of each call of set_config(), each with END."""
    starts = [i + 1 for i, text in enumerate(tokens) if text.strip('"') == "set_config" and tokens[i + 1] == "("]
    return [TokenReader(tokens[start:]).arguments() for start in starts]


def is_local(calls: list[list[list[str]]]) -> bool:
    """Whether calls with these arguments change session settings only until the end of the transaction."""
    return all(arguments[2:] in ([["true", END]], [["'true'", END]], [["'t'", END]]) for arguments in calls)


def _value(arguments: list[list[str]], at: int) -> str | None:
    """The argument, in lower case, if it is a literal, or several of them with ``||`` between."""
    argument = arguments[at][:-1] if at < len(arguments) else []
    if argument[1:3] == [":", ":"]:  # a cast
        argument = argument[:1]
    parts = [literal(text) for text in argument[::3]]
    joined = argument[1::3] == argument[2::3] == ["|"] * (len(parts) - 1)
    return "".join(part or "" for part in parts) if parts and joined and None not in parts else None
