"""What one statement is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .commands import command
from .functions import Functions
from .nesting import copy, explain
from .queries import QUERY_WORDS, query
from .reader import Reader
from .set_config import calls_of_set_config, is_local
from .statement import Kind, Statement


class Grammar:
    """What one statement is, given the functions that need the primary."""

    def __init__(self, primary_functions: Iterable[str]) -> None:
        self._functions = Functions(primary_functions)

    def statement(self, part: list[str]) -> Statement:
        """What the statement of these tokens is; a write may leave state behind only by a function that it calls."""
        statement = self._statement(part)
        if statement.kind is Kind.WRITE and not statement.pins and self._leaves_state(part):
            return replace(statement, pins=True)
        return statement

    def _statement(self, part: list[str]) -> Statement:
        first = part[0]
        if first in QUERY_WORDS or first == "(":
            return query(part, self._functions)
        if first == "explain":
            return explain(Reader(part[1:]), self.statement)
        if first == "copy":
            return copy(Reader(part[1:]), self.statement)
        return command(part)

    def _leaves_state(self, part: list[str]) -> bool:
        effects = self._functions.effects(part)
        return "pins" in effects or ("settings" in effects and not is_local(calls_of_set_config(part)))
