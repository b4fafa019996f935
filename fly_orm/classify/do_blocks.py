"""DO, whose code is a literal of the statement itself."""

from __future__ import annotations

from dataclasses import replace

from .function_bodies import Examined, examine
from .lexer import identifier, with_dollar_quoted
from .session_change import NOTHING, may_change_anything
from .statement import Statement


def with_block(statement: Statement, sql: str) -> Statement:
    """The statement with what its DO blocks may change; several statements may have several blocks."""
    tokens = with_dollar_quoted(sql)
    found = Examined(NOTHING, frozenset())
    for at, text in enumerate(tokens):
        if text.lower() == "do" and (at == 0 or tokens[at - 1] == ";"):
            block = _examine(tokens[at + 1 : at + 4], sql)
            found = Examined(found.change | block.change, found.calls | block.calls)
    return replace(statement, changes=statement.changes | found.change, user_calls=statement.user_calls | found.calls)


def _examine(tokens: list[str], sql: str) -> Examined:
    """What a block may change; its tokens are a literal with the code, and LANGUAGE with a name before or after it."""
    codes = [text[1:-1].replace("''", "'") for text in tokens if text.startswith("'")]
    at = next((at for at, text in enumerate(tokens) if text.lower() == "language"), None)
    language = "plpgsql" if at is None or at + 1 >= len(tokens) else identifier(tokens[at + 1])
    if not codes or "&" in tokens or language is None:
        return Examined(may_change_anything(sql), frozenset())
    return examine(codes[0], language)
