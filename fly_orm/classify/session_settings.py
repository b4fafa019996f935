"""SET, RESET and DISCARD, and the session settings under which a replica cannot answer."""

from __future__ import annotations

from dataclasses import replace

from .lexer import END, identifier, literal
from .session_change import STICKS, changes_for_now, changes_settings
from .statement import Kind, Statement, write
from .temporary import creates_in_pg_temp
from .token_reader import TokenReader
from .transactions import Modes, modes

_SPECIAL_SYNTAX = {
    ("time", "zone"): "timezone",
    ("names",): "client_encoding",
    ("schema",): "search_path",
    ("role",): "role",
    ("seed",): "seed",
    ("xml", "option"): "xmloption",
    ("session", "authorization"): "session_authorization",
    ("transaction", "isolation", "level"): "transaction_isolation",
}
_HARMLESS = {
    "transaction_isolation": {"read committed", "read uncommitted", "repeatable read"},
    "transaction_read_only": {"on", "true", "yes", "1", "t", "y"},
}
#: What SET SESSION CHARACTERISTICS AS TRANSACTION changes.
_MODES = "default_transaction_isolation,default_transaction_read_only,default_transaction_deferrable"
_HIDDEN = "the text does not show which setting changes"


def breaks_reads(name: str | None, value: str | None) -> bool:
    """Whether a replica refuses this value of a session setting, or reads under it; None is an unknown value."""
    harmless = _HARMLESS.get((name or "").removeprefix("default_"))
    return harmless is not None and value not in harmless


def change(reader: TokenReader) -> Statement:
    """The classification of a SET: which session setting it changes, and for how long."""
    kind = Kind.SET_LOCAL if _keywords(reader, "local") else Kind.SET
    if kind is Kind.SET and reader.tokens[1:2] not in (["authorization"], ["characteristics"]):
        _keywords(reader, "session")
    if reader.accept("session", "characteristics", "as", "transaction"):
        return _change_modes(kind, "SET SESSION CHARACTERISTICS", modes(reader))
    if _keywords(reader, "transaction"):
        return _change_modes(Kind.SET_LOCAL, "SET TRANSACTION", modes(reader))
    if _keywords(reader, "constraints"):
        return Statement(kind=Kind.SET_LOCAL, why="SET CONSTRAINTS")
    name = _name(reader)
    why = "SET LOCAL" if kind is Kind.SET_LOCAL else "SET"
    if name == "seed":  # each random() moves it on, so it cannot be set once more in another session
        return replace(write("the seed belongs to one Postgres session", leaves_state=True), name=name)
    if name is None:
        return replace(write(_HIDDEN, leaves_state=True), changes=STICKS)
    if name == "search_path" and creates_in_pg_temp(_first_value(reader)):
        return creating_in_pg_temp(name, local=kind is Kind.SET_LOCAL)
    primary_only = breaks_reads(name, _value(reader))
    value = reader.tokens[-2:-1]
    resets = value == ["default"] or (name == "timezone" and value == ["local"])
    return Statement(kind=kind, why=why, name=name, primary_only=primary_only, resets=resets)


def creating_in_pg_temp(names: str, *, local: bool) -> Statement:
    """The classification of a change of settings, the search_path among them, after which objects are temporary."""
    changes = changes_for_now(names.split(",")) if local else changes_settings(names.split(","))
    return replace(write("what is created from now on is temporary", leaves_state=True), name=names, changes=changes)


def reset(reader: TokenReader) -> Statement:
    """The classification of a RESET."""
    if reader.accept("all"):
        return Statement(kind=Kind.SET, why="RESET ALL", resets_all=True)
    name = _name(reader)
    if name is None:
        return replace(write(_HIDDEN, leaves_state=True), changes=STICKS)
    return Statement(kind=Kind.SET, why="RESET", name=name, primary_only=breaks_reads(name, None), resets=True)


def discard(reader: TokenReader) -> Statement:
    """The classification of a DISCARD."""
    what = reader.next()
    everything = what == "all"
    return Statement(kind=Kind.SET, why=f"DISCARD {what.upper()}", resets_all=everything, discards_all=everything)


def _change_modes(kind: Kind, why: str, found: Modes) -> Statement:
    primary_only = not found.known or found.isolation == "SERIALIZABLE" or found.read_only is False
    name = _MODES if kind is Kind.SET else None
    return Statement(kind=kind, why=why, name=name, primary_only=primary_only)


def _keywords(reader: TokenReader, *words: str) -> bool:
    """Whether the next tokens are these keywords; if so, consume them. Before a dot, they would begin a name."""
    after = reader.at + len(words)
    return reader.tokens[after : after + 1] != ["."] and reader.accept(*words)


def _name(reader: TokenReader) -> str | None:
    for words, name in _SPECIAL_SYNTAX.items():
        if _keywords(reader, *words):
            return name
    parts = [identifier(reader.next())]
    while reader.accept("."):
        parts.append(identifier(reader.next()))
    return ".".join(part.lower() for part in parts if part) if all(parts) else None


def _first_value(reader: TokenReader) -> str:
    """The first of the values, which are not consumed."""
    at = reader.at + (reader.peek() in {"to", "="})
    return literal(reader.tokens[at]) or reader.tokens[at]


def _value(reader: TokenReader) -> str | None:
    reader.accept_any("to", "=")
    value = reader.next()
    return (value if literal(value) is None else literal(value)) if reader.peek() == END else None
