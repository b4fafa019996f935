"""Texts that cannot be split into tokens. Most are syntax errors, but nothing is known about the others."""

from __future__ import annotations

import re
from typing import Literal

from .session_change import LEAVES_STATE, LOCKS, may_change_anything
from .statement import Kind, Statement

# A comment matches in one way only. To try others, as with .*?, would take exponential time.
_COPY = re.compile(r"(?:\s|\(|--[^\n\r]*(?:[\n\r]|\Z)|/\*(?:[^*]|\*(?!/))*\*/)*copy\b", re.IGNORECASE)
_DIRECTION = re.compile(r"\b(from|to)\s+std(?:in|out)\b", re.IGNORECASE)


def unreadable(sql: str, why: str) -> Statement:
    """The classification of a text that may do anything."""
    several = ";" in sql
    return Statement(
        kind=Kind.WRITE,
        why=why,
        leaves_state=True,
        locks=True,
        copy=_copy(sql),
        begins_transaction=several,
        ends_transaction=several,
        changes=may_change_anything(sql) | LEAVES_STATE | LOCKS,
    )


def _copy(sql: str) -> Literal["in", "out"] | None:
    if not _COPY.match(sql) or (direction := _DIRECTION.search(sql)) is None:
        return None
    return "in" if direction[1].lower() == "from" else "out"
