"""set_config(), the function that does the same as SET."""

from __future__ import annotations

from itertools import pairwise

from .lexer import END, is_name, literal
from .session_settings import breaks_reads, reads_one_snapshot
from .statement import Kind, Statement, write
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
    breaks = any(breaks_reads(name, _value(call, 1)) for name, call in zip(names, calls, strict=True))
    snapshots = {reads_one_snapshot(name, _value(call, 1)) for name, call in zip(names, calls, strict=True)} - {None}
    name = None if None in names else ",".join(filter(None, names))
    kind = Kind.SET_LOCAL if is_local(calls) else Kind.SET
    return Statement(
        kind=kind,
        why="set_config()",
        name=name,
        primary_only=breaks,
        one_snapshot=any(snapshots) if snapshots else None,
    )


def calls_of_set_config(tokens: list[str]) -> list[list[list[str]]]:
    """The arguments of each call of set_config(), each with END."""
    starts = [i + 1 for i, text in enumerate(tokens) if text.strip('"') == "set_config" and tokens[i + 1] == "("]
    return [TokenReader(tokens[start:]).arguments() for start in starts]


def is_local(calls: list[list[list[str]]]) -> bool:
    """Whether calls with these arguments change session settings only until the end of the transaction."""
    return all(arguments[2:] in ([["true", END]], [["'true'", END]], [["'t'", END]]) for arguments in calls)


def _value(arguments: list[list[str]], at: int) -> str | None:
    argument = arguments[at] if at < len(arguments) else []
    return literal(argument[0]) if len(argument) == 2 else None
