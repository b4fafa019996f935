"""What the code of a function, of a procedure or of a DO block may change in the Postgres session."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from . import commands, session_settings
from .called_functions import user_calls
from .known_functions import KnownFunctions, function_names
from .lexer import END, UnterminatedError, is_word, literal, lowered
from .session_change import (
    ACTS_OUTSIDE,
    LEAVES_STATE,
    LOCKS,
    NOTHING,
    REFUSED_IN_RECOVERY,
    STICKS,
    UNTIL_END,
    SessionChange,
    changes_for_now,
    changes_setting,
    may_change_anything,
)
from .set_config import calls_of_set_config, is_local
from .statement import Kind
from .temporary import create
from .token_reader import TokenReader

#: What precedes the first word of a statement in SQL and in PL/pgSQL.
_BEFORE_STATEMENTS = frozenset({";", "begin", "then", "else", "loop", "atomic", ">"})
#: What else precedes EXECUTE in PL/pgSQL: FOR … IN EXECUTE, RETURN QUERY EXECUTE, OPEN … FOR EXECUTE.
_BEFORE_EXECUTE = frozenset({"in", "query", "for"})
#: Commands whose text can be put together at run time without harm, apart from the functions that they call.
_PLAIN_COMMANDS = re.compile(
    "alter|analy[sz]e|cluster|comment|create|delete|drop|grant|insert|lock|merge|notify|refresh|reindex|revoke|truncate"
    "|update|vacuum"
)
#: What follows a variable that has the name of a command.
_AFTER_VARIABLES = frozenset({":", "=", "."})
_KNOWN = KnownFunctions(())


class Examined(NamedTuple):
    """What code may do to the Postgres session."""

    change: SessionChange
    calls: frozenset[str]
    """The functions, in lower case, that it may call and that may be the user's own."""


def examine(source: str, language: str) -> Examined:
    """What code in a language may do to the session. Never raises: what cannot be judged may change anything."""
    if language not in ("sql", "plpgsql"):
        return Examined(may_change_anything(source), frozenset())
    try:
        tokens = lowered(source)
    except UnterminatedError:
        return Examined(may_change_anything(source), frozenset())
    change, calls = _calls(tokens, source), user_calls(tokens)
    for statement in _statements(tokens):
        found = _statement(statement, source)
        change, calls = change | found.change, calls | found.calls
    return Examined(change, calls)


def _calls(tokens: list[str], source: str) -> SessionChange:
    """What the functions of Postgres that are called may change."""
    change = NOTHING
    for arguments in calls_of_set_config(tokens):
        # Postgres shows the standard's function bodies with casts: 'app.tenant'::text.
        name = literal(arguments[0][0]) if arguments[0][1:] in ([END], [":", ":", "text", END]) else None
        name = name and name.lower()
        local = is_local([arguments])
        change |= changes_for_now([name or ""]) | UNTIL_END if local else changes_setting(name, source)
    effects = _KNOWN.effects(tokens)
    if "leaves_state" in effects:
        change |= _left(function_names(tokens))
    if "locks" in effects:
        change |= LOCKS
    if "recovery" in effects:
        change |= REFUSED_IN_RECOVERY
    return change | ACTS_OUTSIDE if "outside" in effects else change


def _left(called: frozenset[str]) -> SessionChange:
    """What functions of these names leave in the session, a function that leaves state among them."""
    connects = any(name.startswith("dblink_") for name in called)
    if "setseed" in called or (connects and "dblink_disconnect" not in called):
        return STICKS  # nobody can see the seed, or the connections of dblink
    return LEAVES_STATE | ACTS_OUTSIDE if connects else LEAVES_STATE


def _statements(tokens: list[str]) -> Iterator[list[str]]:
    """The statements that are told by their first word, up to the semicolon, each with END."""
    for at, text in enumerate(tokens):
        before = tokens[at - 1] if at else ";"
        if (before in _BEFORE_STATEMENTS and is_word(text)) or (text == "execute" and before in _BEFORE_EXECUTE):
            rest = tokens[at:-1]
            end = rest.index(";") if ";" in rest else len(rest)
            yield [*rest[:end], END]


def _statement(tokens: list[str], source: str) -> Examined:
    reader = TokenReader(tokens[1:])
    change = NOTHING
    match tokens[0]:
        case "set":
            found = session_settings.change(reader)
            local = found.kind is Kind.SET_LOCAL
            now = changes_for_now([found.name or ""]) | UNTIL_END
            change = now if local else changes_setting(found.name, source)
        case "reset":
            change = changes_setting(session_settings.reset(reader).name, source)
        case "create":
            change = LEAVES_STATE if create(reader).leaves_state else NOTHING
        case "prepare" | "listen":
            change = LEAVES_STATE
        case "lock" if tokens[1] not in _AFTER_VARIABLES:
            change = LOCKS
        case command if command in commands.REFUSED_IN_RECOVERY and tokens[1] not in _AFTER_VARIABLES:
            change = REFUSED_IN_RECOVERY
        case "load":
            change = STICKS
        case "copy" if tokens[1] not in _AFTER_VARIABLES:  # a function can only copy to what the server reaches
            change = ACTS_OUTSIDE
        case "execute":
            return _dynamic(tokens, source)
    return Examined(change, frozenset())


def _ends_in_name(tokens: list[str], text: str) -> bool:
    """Whether the name of a setting may go on in what is joined to the text."""
    return not text[-1].isspace() and {"to", "="}.isdisjoint(tokens)


def _dynamic(tokens: list[str], source: str) -> Examined:
    """What an EXECUTE may change: its command is an expression, of which literals alone can be read."""
    end = next((at for at, text in enumerate(tokens) if text in {"into", "using", "loop", END}), len(tokens))
    literals = [value for value in map(literal, tokens[1:end]) if value]
    # U&'…' is an expression that is not read, as are E'…' and what dollars quote.
    if not literals or any(text in {"&", "'$'"} or text[:2] == "e'" for text in tokens[1:end]):
        return Examined(may_change_anything(source), frozenset())
    try:
        parts = [lowered(text) for text in literals]
    except UnterminatedError:
        return Examined(may_change_anything(source), frozenset())
    change, calls = NOTHING, frozenset[str]()
    for part in parts:
        change, calls = change | _calls(part, source), calls | user_calls(part)
    first = parts[0][0]
    if first in {"set", "reset"} and end > 2 and _ends_in_name(parts[0], literals[0]):
        change |= may_change_anything(source)
    elif first in {"set", "reset", "prepare", "lock", "load", "listen", "copy"} | commands.REFUSED_IN_RECOVERY or (
        first == "create" and len(parts[0]) > 2
    ):
        change |= _statement(parts[0], source).change
    elif not _PLAIN_COMMANDS.fullmatch(first) and end > 2:
        change |= may_change_anything(source)
    return Examined(change, calls)
