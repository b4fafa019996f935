"""Classifies a single statement."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .called_functions import calls_when_executed
from .commands import command
from .explain_copy import copy, explain
from .known_functions import KnownFunctions
from .queries import QUERY_WORDS, query
from .session_change import LEAVES_STATE, LOCKS, NOTHING, may_change_anything
from .set_config import session_change
from .snapshots import takes_snapshot
from .statement import Kind, Statement
from .token_reader import TokenReader


class Grammar:
    """Classifies single statements, given the functions that need the primary."""

    def __init__(self, primary_functions: Iterable[str]) -> None:
        self._functions = KnownFunctions(primary_functions)

    def statement(self, tokens: list[str]) -> Statement:
        """The classification of a statement; a write locks or leaves state if it calls a function that does."""
        statement = self._statement(tokens)
        if calls := calls_when_executed(tokens):
            statement = replace(statement, user_calls=calls)
        if takes_snapshot(tokens[0]):
            statement = replace(statement, takes_snapshot=True)
        return self._with_effects(statement, tokens) if statement.kind is Kind.WRITE else statement

    def _statement(self, tokens: list[str]) -> Statement:
        first = tokens[0]
        if first in QUERY_WORDS or first == "(":
            return query(tokens, self._functions)
        if first == "explain":
            return explain(TokenReader(tokens[1:]), self.statement)
        if first == "copy":
            return copy(TokenReader(tokens[1:]), self.statement)
        return command(tokens)

    def _with_effects(self, statement: Statement, tokens: list[str]) -> Statement:
        effects = self._functions.effects(tokens)
        changes = session_change(tokens) if "session_settings" in effects else NOTHING
        if "unreadable" in effects:
            changes |= may_change_anything("") | LEAVES_STATE | LOCKS
        if "recovery" in effects:
            statement = replace(statement, refused_in_recovery=True)
        if changes == NOTHING and effects.keys().isdisjoint({"leaves_state", "locks"}):
            return statement
        return replace(
            statement,
            changes=statement.changes | changes,
            leaves_state=statement.leaves_state
            or changes.sticks
            or "leaves_state" in effects
            or "unreadable" in effects,
            locks=statement.locks or "locks" in effects or "unreadable" in effects,
        )
