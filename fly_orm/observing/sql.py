"""What observers get to see of the text of a statement: never its literals."""

from __future__ import annotations

import re
from functools import lru_cache

from ..classify.lexer import masked

#: Characters of a text that are looked at, and of the summary that is made of them.
_LOOKED_AT, _LONGEST = 4000, 1000
#: Texts whose summary is remembered.
_CACHED = 512
#: What would control the terminal on which a log is read.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def summary(text: str | bytes) -> str:
    """The statement in one line without its literals and comments, of at most 1,000 characters."""
    if len(text) <= _LOOKED_AT:
        return _summary(text)
    return _shortened(_summary(text[:_LOOKED_AT]) + "…")


def shown(text: str | bytes) -> str | bytes:
    """As much of a text as its summary is made of, so that nobody keeps the rest."""
    return text if len(text) <= _LOOKED_AT else text[: _LOOKED_AT + 1]


def command(text: str | bytes) -> str:
    """The first word of the statement, in upper case; empty if it does not begin with a word."""
    word = summary(text).lstrip("( ").partition(" ")[0]
    return word.rstrip(";").upper() if word.rstrip(";").isalpha() else ""


@lru_cache(_CACHED)
def _summary(text: str | bytes) -> str:
    shown = masked(text if isinstance(text, str) else text.decode(errors="replace"))
    return _shortened(_CONTROL.sub("\ufffd", shown))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
