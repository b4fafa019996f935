"""Tells values from other SQL."""

from __future__ import annotations

from .lexer import UnterminatedError, is_name, lowered

#: Words in values, apart from the types that follow ``::``.
_WORDS = frozenset(
    {
        *("array", "false", "null", "row", "true", "date", "interval", "time", "timestamp", "timestamptz"),
        *("int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange"),
    }
)
_PUNCTUATION = frozenset("()[]:,.+-")


def is_value(text: str) -> bool:
    """Whether a text is a literal, or composed of literals, as are ``'(1,2)'::point`` and ``ARRAY[1, 2]``.

    It calls no function but those that make ranges, names nothing but types, and means the same wherever it stands.
    False if that is not certain.
    """
    if "--" in text or "/*" in text:
        return False
    try:
        tokens = lowered(text)[:-1]
    except UnterminatedError:
        return False
    if not tokens or tokens[0] in _PUNCTUATION or tokens[-1] in _PUNCTUATION - {")", "]"}:
        return False
    return all(_is_part(tokens, at) for at in range(len(tokens)))


def _is_part(tokens: list[str], at: int) -> bool:
    text = tokens[at]
    if is_name(text):
        return text in _WORDS or _names_type(tokens, at)
    return text in _PUNCTUATION or text[0].isdigit() or text[0] == "'" or text[:2] == "e'"


def _names_type(tokens: list[str], at: int) -> bool:
    while at > 1 and tokens[at - 1] == ".":
        at -= 2
    return tokens[max(at - 2, 0) : at] == [":", ":"]
