"""What observers get to see of the text of a statement: never its literals."""

from __future__ import annotations

from functools import lru_cache

from ..classify.lexer import masked

#: Characters of a text that are looked at, and of the summary that is made of them.
_LOOKED_AT, _LONGEST = 4000, 1000
#: Texts whose summary is remembered.
_CACHED = 512


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
    return _shortened(masked(text if isinstance(text, str) else text.decode(errors="replace")))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
