"""BEGIN, COMMIT and ROLLBACK, and the modes of a transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from .lexer import END
from .reader import Reader
from .statement import Kind, Statement, write

_LEVELS = {
    ("serializable",): "SERIALIZABLE",
    ("repeatable", "read"): "REPEATABLE READ",
    ("read", "committed"): "READ COMMITTED",
    ("read", "uncommitted"): "READ UNCOMMITTED",
}


@dataclass
class Modes:
    """What a list of transaction modes says; known is false if some of it was not understood."""

    isolation: str | None = None
    read_only: bool | None = None
    known: bool = True


def modes(reader: Reader) -> Modes:
    """The transaction modes from here to the end; the server lets a later one win over an earlier."""
    modes = Modes()
    while _mode(reader, modes):
        if reader.peek() == END:
            return modes
        reader.accept(",")
    modes.known = False
    return modes


def _mode(reader: Reader, modes: Modes) -> bool:
    if reader.accept("isolation", "level"):
        level = next((name for words, name in _LEVELS.items() if reader.accept(*words)), None)
        modes.isolation = level or modes.isolation
        return level is not None
    if reader.accept("read", "only") or reader.accept("read", "write"):
        modes.read_only = reader.tokens[reader.at - 1] == "only"
        return True
    return reader.accept("deferrable") or reader.accept("not", "deferrable")


def begin(reader: Reader) -> Statement:
    """What a BEGIN is, and what transaction it begins."""
    reader.accept_any("work", "transaction")
    found = Modes() if reader.peek() == END else modes(reader)
    return Statement(
        kind=Kind.BEGIN,
        why="BEGIN",
        simple=found.known,
        read_only=found.known and found.read_only is True and found.isolation != "SERIALIZABLE",
    )


def start(reader: Reader) -> Statement:
    """What a START is: a BEGIN if it starts a transaction."""
    if reader.peek() != "transaction":
        return write("unknown command START")
    return replace(begin(reader), why="START TRANSACTION")


def end(kind: Kind) -> Callable[[Reader], Statement]:
    """What tells a command that ends a transaction, be it by COMMIT or ROLLBACK."""

    def ending(reader: Reader) -> Statement:
        if reader.accept("prepared"):
            return Statement(kind=Kind.TWO_PHASE, why=f"{kind.name} PREPARED")
        reader.accept_any("work", "transaction")
        if kind is Kind.ROLLBACK and reader.accept("to"):
            return Statement(kind=Kind.ROLLBACK_TO, why="ROLLBACK TO")
        reader.accept("and", "no", "chain")
        return Statement(kind=kind, why=kind.name, simple=reader.peek() == END)

    return ending
