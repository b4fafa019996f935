"""EXPLAIN and COPY, which have another statement inside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

from .lexer import END
from .queries import QUERY_WORDS
from .reader import Reader
from .statement import Kind, Statement, write

_EXPLAINABLE = QUERY_WORDS | {"(", "insert", "update", "delete", "merge", "create", "declare", "refresh", "execute"}


def explain(reader: Reader, classify: Callable[[list[str]], Statement]) -> Statement:
    """What an EXPLAIN is: it runs the statement only if told to ANALYZE."""
    analyze = False
    if reader.peek() == "(" and reader.tokens[1] not in QUERY_WORDS | {"("}:
        analyze = _analyze(reader.skip_parentheses())
    while reader.accept_any("analyze", "analyse", "verbose"):
        analyze |= reader.tokens[reader.at - 1] != "verbose"
    part = reader.tokens[reader.at :]
    if part[0] not in _EXPLAINABLE:
        return write("EXPLAIN of an unknown command")
    if not analyze:
        return Statement(kind=Kind.READ, why="EXPLAIN")
    return _around("EXPLAIN ANALYZE", classify(part))


def copy(reader: Reader, classify: Callable[[list[str]], Statement]) -> Statement:
    """What a COPY is, and whether the client sends or receives its data."""
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
    """What a command is that runs the inner statement."""
    kind = inner.kind if inner.kind in {Kind.READ, Kind.SERVER} else Kind.WRITE
    pins = inner.pins or inner.kind is Kind.SET
    return Statement(kind=kind, why=f"{command} {inner.why}", pins=pins, function_names=inner.function_names)


def _analyze(options: list[str]) -> bool:
    """Whether a list of EXPLAIN's options says ANALYZE and does not take it back."""
    pairs = pairwise(options)
    off = {"false", "off", "0", "'false'", "'off'", "'0'"}
    return any(option in {"analyze", "analyse"} and value not in off for option, value in pairs)


def _skip_table(reader: Reader) -> None:
    reader.accept("binary")
    while reader.peek() not in {END, "(", "from", "to"}:
        reader.next()
    if reader.peek() == "(":
        reader.skip_parentheses()
