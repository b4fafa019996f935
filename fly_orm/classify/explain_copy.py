"""EXPLAIN and COPY, which contain another statement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

from .lexer import END
from .queries import QUERY_WORDS
from .statement import Kind, Statement, write
from .token_reader import TokenReader

_EXPLAINABLE = QUERY_WORDS | {"(", "insert", "update", "delete", "merge", "create", "declare", "refresh", "execute"}


def explain(reader: TokenReader, classify: Callable[[list[str]], Statement]) -> Statement:
    """The classification of an EXPLAIN, which executes the statement inside only with ANALYZE."""
    analyze = False
    if reader.peek() == "(" and reader.tokens[1] not in QUERY_WORDS | {"("}:
        analyze = _analyze(reader.skip_parentheses())
    while reader.accept_any("analyze", "analyse", "verbose"):
        analyze |= reader.tokens[reader.at - 1] != "verbose"
    inner = reader.tokens[reader.at :]
    if inner[0] not in _EXPLAINABLE:
        return write("EXPLAIN of an unknown command")
    if not analyze:
        return Statement(kind=Kind.READ, why="EXPLAIN")
    return _around("EXPLAIN ANALYZE", classify(inner))


def copy(reader: TokenReader, classify: Callable[[list[str]], Statement]) -> Statement:
    """The classification of a COPY, and whether the client sends or receives the data."""
    inner = Statement(kind=Kind.READ, why="of a table")
    if reader.peek() == "(":
        inner = classify(reader.skip_parentheses())
    else:
        _skip_table(reader)
    if reader.accept("from"):
        client = reader.accept_any("stdin", "stdout")
        return Statement(kind=Kind.WRITE, why="COPY FROM", copy="in" if client else None)
    if not (reader.accept("to") and reader.accept_any("stdout", "stdin")):
        return write("COPY")
    return replace(_around("COPY TO STDOUT", inner), copy="out")


def _around(command: str, inner: Statement) -> Statement:
    """The classification of a command that executes the statement inside."""
    kind = inner.kind if inner.kind in {Kind.READ, Kind.SERVER} else Kind.WRITE
    why = f"{command} {inner.why}"
    return Statement(
        kind=kind,
        why=why,
        leaves_state=inner.leaves_state,
        locks=inner.locks,
        refused_in_recovery=inner.refused_in_recovery,
        function_names=inner.function_names,
        changes=inner.session_changes,
    )


def _analyze(options: list[str]) -> bool:
    """Whether a list of EXPLAIN's options turns ANALYZE on."""
    pairs = pairwise(options)
    off = {"false", "off", "0", "'false'", "'off'", "'0'"}
    return any(option.strip('"') in {"analyze", "analyse"} and value not in off for option, value in pairs)


def _skip_table(reader: TokenReader) -> None:
    reader.accept("binary")
    while reader.peek() not in {END, "(", "from", "to"}:
        reader.next()
    if reader.peek() == "(":
        reader.skip_parentheses()
