"""set_config(), the function that does what SET does."""

from __future__ import annotations

from .lexer import END, is_name, literal
from .reader import Reader
from .session_settings import breaks_reads
from .statement import Kind, Statement, write

#: May stand beside set_config() in a SELECT that is run in two sessions.
_REPEATABLE = {"select", "values", "coalesce", "nullif", "current_setting", "concat", "format", "cast"}
_REPEATABLE |= {"set_config", '"set_config"'}


def set_config(part: list[str]) -> Statement:
    """What a query that calls it is: a SET, if it can be run in two sessions and mean the same."""
    others = {part[i - 1] for i, text in enumerate(part) if text == "(" and i and is_name(part[i - 1])} - _REPEATABLE
    if "from" in part or others:
        return write("set_config() within a query")
    calls = calls_of_set_config(part)
    names = [_value(call, 0) for call in calls]
    breaks = any(breaks_reads(name, _value(call, 1)) for name, call in zip(names, calls, strict=True))
    name = None if None in names else ",".join(filter(None, names))
    kind = Kind.SET_LOCAL if is_local(calls) else Kind.SET
    return Statement(kind=kind, why="set_config()", name=name, primary_only=breaks)


def calls_of_set_config(part: list[str]) -> list[list[list[str]]]:
    """The arguments of each call, each with END."""
    starts = [i + 1 for i, text in enumerate(part) if text.strip('"') == "set_config" and part[i + 1] == "("]
    return [Reader(part[start:]).arguments() for start in starts]


def is_local(calls: list[list[list[str]]]) -> bool:
    """Whether calls with these arguments set for the transaction only."""
    return all(arguments[2:] in ([["true", END]], [["'true'", END]], [["'t'", END]]) for arguments in calls)


def _value(arguments: list[list[str]], at: int) -> str | None:
    argument = arguments[at] if at < len(arguments) else []
    return literal(argument[0]) if len(argument) == 2 else None
