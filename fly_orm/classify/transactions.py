"""BEGIN, COMMIT and ROLLBACK, and transaction modes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from .lexer import END
from .statement import Kind, Statement, write
from .token_reader import TokenReader

_LEVELS = {
    ("serializable",): "SERIALIZABLE",
    ("repeatable", "read"): "REPEATABLE READ",
    ("read", "committed"): "READ COMMITTED",
    ("read", "uncommitted"): "READ UNCOMMITTED",
}


@dataclass
class Modes:
    """The transaction modes in a list; ``known`` is False if part of the list was not understood."""

    isolation: str | None = None
    read_only: bool | None = None
    known: bool = True


def modes(reader: TokenReader) -> Modes:
    """The transaction modes from here to the end. As on the server, a later mode overrides an earlier one."""
    modes = Modes()
    while _mode(reader, modes):
        if reader.peek() == END:
            return modes
        reader.accept(",")
    modes.known = False
    return modes


def _mode(reader: TokenReader, modes: Modes) -> bool:
    if reader.accept("isolation", "level"):
        level = next((name for words, name in _LEVELS.items() if reader.accept(*words)), None)
        modes.isolation = level or modes.isolation
        return level is not None
    if reader.accept("read", "only") or reader.accept("read", "write"):
        modes.read_only = reader.tokens[reader.at - 1] == "only"
        return True
    return reader.accept("deferrable") or reader.accept("not", "deferrable")


def begin(reader: TokenReader) -> Statement:
    """The classification of a BEGIN, and of the transaction that it begins."""
    reader.accept_any("work", "transaction")
    found = Modes() if reader.peek() == END else modes(reader)
    return Statement(
        kind=Kind.BEGIN,
        why="BEGIN",
        command_tag="BEGIN",
        isolation=found.isolation,
        simple=found.known,
        read_only=found.known and found.read_only is True and found.isolation != "SERIALIZABLE",
    )


def start(reader: TokenReader) -> Statement:
    """The classification of a START: a BEGIN if TRANSACTION follows."""
    if reader.peek() != "transaction":
        return write("unknown command START")
    return replace(begin(reader), why="START TRANSACTION", command_tag="START TRANSACTION")


def end(kind: Kind) -> Callable[[TokenReader], Statement]:
    """A function that classifies commands that end a transaction, by COMMIT or by ROLLBACK as ``kind`` says."""

    def ending(reader: TokenReader) -> Statement:
        if reader.accept("prepared"):
            return Statement(kind=Kind.TWO_PHASE, why=f"{kind.name} PREPARED")
        reader.accept_any("work", "transaction")
        if kind is Kind.ROLLBACK and reader.accept("to"):
            return Statement(kind=Kind.ROLLBACK_TO, why="ROLLBACK TO")
        reader.accept("and", "no", "chain")
        return Statement(kind=kind, why=kind.name, simple=reader.peek() == END)

    return ending
