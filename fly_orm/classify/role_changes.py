"""Where a text changes the role or the user of its Postgres session, as far as its words show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from .lexer import END, UnterminatedError, identifier, literal, split_statements, with_dollar_quoted
from .session_change import AUTHORIZATION
from .token_reader import TokenReader

#: A text that is one transaction command or DECLARE, which execute nothing that changes the role.
PASSIVE = re.compile(
    rb"\s*(?:declare(?![^;]*\bhold\b)|begin|start|savepoint|release|rollback|commit|end)\b[^;]*;?\s*", re.IGNORECASE
)
#: What precedes the first word of a statement in SQL and in PL/pgSQL.
_BEFORE_STATEMENTS = frozenset({";", "begin", "then", "else", "loop", ">", END})
#: What may follow the last statement that does anything, in a string or in a block.
_CLOSING = frozenset({";", "end", "if", "case", "language", "plpgsql", END})
_TRANSACTION_COMMANDS = frozenset({"begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release"})


#: Of more calls of set_config() in a text, nothing is known.
_MOST_CALLS = 20

#: What a text begins with whose only command may change the role.
_FIRST = (b"set", b"reset", b"do", b"execute", b"--", b"/*")


class RoleChange(NamedTuple):
    """One command that changes the role, or the session's user."""

    setting: str
    """``role`` or ``session_authorization``."""
    to: str | None
    """The name of the role; None for the one that the session has begun with."""
    is_last: bool
    """Whether nothing runs after it in its text."""
    is_local: bool = False
    """Whether it lasts until the end of the transaction."""


class RoleChanges(NamedTuple):
    """All that a text shows."""

    found: tuple[RoleChange, ...] = ()
    is_unclear: bool = False
    """Whether it may make others, to roles that it does not name."""
    is_unreadable: bool = False
    """Whether the text cannot be split into its commands."""

    def __bool__(self) -> bool:
        return bool(self.found) or self.is_unclear


_UNREADABLE = RoleChanges(is_unclear=True, is_unreadable=True)


def may_show_any(sql: bytes) -> bool:
    """Whether :func:`role_changes` may find something in a text, which may be long."""
    text = sql.lower()
    if b"set_config" in text or b"u&" in text:
        return True
    if b"role" not in text and b"authorization" not in text and b"execute" not in text:
        return False
    return b";" in text or text.lstrip().startswith(_FIRST)


def role_changes(sql: str) -> RoleChanges:
    """What a text of one or several commands, DO blocks among them, shows of changes of the role. Never raises."""
    try:
        commands = split_statements(sql)  # which raises if a literal is open, and hides the rest
        tokens = [END, *with_dollar_quoted(sql)]
        blocks = [block for at, token in enumerate(tokens) if token.lower() == "do" for block in _block(tokens, at)]
    except UnterminatedError:
        return _UNREADABLE
    prepared = [None for command in commands if command[0] == "execute"]  # which may do anything
    found = [*_statements(tokens), *blocks, *prepared]
    return RoleChanges(
        found=tuple(change for change in found if change is not None),
        is_unclear=None in found,
    )


def controls_transactions(sql: str) -> bool:
    """Whether one of several commands in a text begins or ends a transaction, as far as its words show."""
    try:
        commands = split_statements(sql)
    except UnterminatedError:
        return False
    return len(commands) > 1 and any(tokens[0] in _TRANSACTION_COMMANDS for tokens in commands)


def _statements(tokens: list[str]) -> Iterator[RoleChange | None]:
    """The changes that statements make; None for one to a role that it does not name. END precedes the first token."""
    lowered = [token.lower() for token in tokens]
    calls = 0
    for at, token in enumerate(lowered):
        if token in {"set", "reset"} and lowered[at - 1] in _BEFORE_STATEMENTS:
            yield from _set(tokens, lowered, at)
        elif token.strip('"') == "set_config" and lowered[at + 1] == "(":
            calls += 1
            # The arguments of each may go on to the end of the text.
            yield from _set_config(tokens, lowered, at) if calls <= _MOST_CALLS else (None,)
        elif token.startswith('u&"'):  # an identifier that is written in escapes
            yield None


def _block(tokens: list[str], at: int) -> Iterator[RoleChange | None]:
    """The changes that a DO block makes, and those in the literals that it may execute."""
    if tokens[at - 1] not in {";", END}:
        return
    codes = [token[1:-1].replace("''", "'") for token in tokens[at + 1 : at + 4] if token.startswith("'")]
    if not codes or "&" in tokens[at + 1 : at + 4]:  # U&'…', whose escapes are not read
        yield None
    for code in codes:
        body = [END, *with_dollar_quoted(code)]
        # What EXECUTE gets may be put together beforehand, so all literals count in a block that has one.
        executes = any(token.lower() == "execute" for token in body)
        executed = (
            change and change._replace(is_last=change.is_last and _is_closed(body, index + 1))
            for index, token in enumerate(body)
            if executes and (text := literal(token))
            for change in _of_text(text)
        )
        is_last = _is_closed(tokens, at + 1, skips_literals=True)
        for change in chain(_statements(body), executed):
            yield change and change._replace(is_last=change.is_last and is_last)


def _of_text(text: str) -> list[RoleChange | None]:
    inner = role_changes(text)
    return [*inner.found, *([None] if inner.is_unclear else [])]


def _set(tokens: list[str], lowered: list[str], at: int) -> Iterator[RoleChange | None]:
    reader = TokenReader(lowered)
    reader.at = at + 1
    resets, is_local = lowered[at] == "reset", reader.accept("local")
    if not (resets or is_local) and lowered[at + 1 : at + 3] != ["session", "authorization"]:
        reader.accept("session")
    setting = _setting(reader)
    if setting is None:
        return
    reader.accept_any("to", "=")
    if resets:
        yield RoleChange(setting, None, _is_closed(tokens, reader.at))
    else:
        # What else follows belongs to the name, as in U&'…'.
        value = tokens[reader.at] if tokens[reader.at + 1 : reader.at + 2] in ([";"], [END]) else END
        yield _change(setting, value, is_last=_is_closed(tokens, reader.at + 1), is_local=is_local)


def _set_config(tokens: list[str], lowered: list[str], at: int) -> Iterator[RoleChange | None]:
    reader = TokenReader(tokens)
    reader.at = at + 1
    name, value, local = (_only(argument) for argument in [*reader.arguments(), [END], [END], [END]][:3])
    setting = literal(name)
    if setting is None:
        yield None
    elif setting.lower() in AUTHORIZATION:
        start = at - 2 if lowered[at - 2 : at] == ["pg_catalog", "."] else at
        alone = lowered[start - 1] in {"select", "perform"} and lowered[start - 2] in _BEFORE_STATEMENTS
        is_last, is_local = alone and _is_closed(tokens, reader.at), local.lower() == "true"
        yield _change(setting.lower(), value, is_last=is_last, is_local=is_local)


def _setting(reader: TokenReader) -> str | None:
    """The setting that is named next, if it is one of these two; it is consumed."""
    if reader.accept("session", "authorization"):
        return "session_authorization"
    name = (identifier(reader.peek()) or "").lower()
    if name not in AUTHORIZATION:
        return None
    reader.next()
    return name


def _change(setting: str, value: str, *, is_last: bool, is_local: bool) -> RoleChange | None:
    """The change to what a token names; None if it does not name a role."""
    quoted = literal(value)
    name = identifier(value) if quoted is None else quoted
    if not name:
        return None
    is_own = (name == "none" and setting == "role") or value.lower() == "default"
    return RoleChange(setting, None if is_own else name, is_last, is_local)


def _only(argument: list[str]) -> str:
    """The only token of an argument, or END."""
    return argument[0] if len(argument) == 2 else END


def _is_closed(tokens: list[str], at: int, *, skips_literals: bool = False) -> bool:
    """Whether nothing that does anything follows."""
    rest = (tokens[index] for index in range(at, len(tokens)))
    return all(token.lower() in _CLOSING or (skips_literals and token[:1] == "'") for token in rest)
