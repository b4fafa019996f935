"""The tokens of a Postgres statement: as much of the server's lexer as telling reads from writes needs.

A token is its text: a word (``select``), a quoted identifier (``"user"``), a literal (``'it''s'``), a run of digits,
one of psycopg2's placeholders (``%s``, ``%(name)s``), or a single character of anything else. Comments and white space
are no tokens. The source is the Postgres manual, section 4.1, and the server's own ``scan.l``.
"""

from __future__ import annotations

import re

#: Stands after the last token, so that looking one token ahead needs no test for the end.
END = ""

_SPACE = r"[ \t\n\r\f\v]"
# The server counts every character outside ASCII as a letter; Python's \w and \s do not agree with it.
_START = r"[^\0-@[-^`{-\x7f]"
_LETTER = r"[^\0-#%-/:-@[-^`{-\x7f]"
_TAG_LETTER = r"[^\0-/:-@[-^`{-\x7f]"
# A quote after a backslash ends the literal or does not, depending on standard_conforming_strings: neither is assumed.
_LITERAL = r"'[^'\\]*(?:(?:''|\\[^'])[^'\\]*)*'(?!')"
_ESCAPED = r"[eE]'[^'\\]*(?:(?:''|\\[\s\S])[^'\\]*)*'(?!')"
_QUOTED = r'"[^"]*(?:""[^"]*)*"(?!")'
_NAMED = r"""%\((?:[^()'"$;%/-]|-(?!-)|/(?!\*))*\)s"""
_DOLLAR = rf"\$(?:{_START}{_TAG_LETTER}*)?\$"
# What is not closed swallows the rest, which keeps the time linear in the length of the text.
_OPEN = r"""(?:['"]|%\([^)]*\)s)[\s\S]*"""

_TOKEN = re.compile(
    rf"{_SPACE}*({_QUOTED}|[,.()=;]|{_ESCAPED}|[uU]&{_QUOTED}|{_START}{_LETTER}*|{_LITERAL}|[0-9][0-9.]*"
    rf"|%s(?!{_LETTER})|{_NAMED}|{_OPEN}|--|/\*|{_DOLLAR}|[\s\S]|\Z)"
)
_CLOSED = re.compile(f"{_QUOTED}|{_LITERAL}|{_NAMED}")
_LINE_END = re.compile(r"[\n\r]|\Z")
_COMMENT_EDGE = re.compile(r"/\*|\*/")


class UnterminatedError(ValueError):
    """A literal, quoted identifier or comment has no end, or where it ends depends on a setting of the session."""

    def __init__(self) -> None:
        super().__init__("a literal, quoted name or comment has no certain end")


def tokens(sql: str) -> list[str]:
    """The tokens of ``sql`` as they are written, and END; UnterminatedError if that cannot be told."""
    if "--" in sql or "/*" in sql or "$" in sql:
        found = _careful(sql)
    else:
        found = _TOKEN.findall(sql)
        if len(found) > 1 and found[-2] == END:
            found.pop()
    last = found[-2] if len(found) > 1 else END
    if last.startswith(("'", '"', "%(")) and not _CLOSED.fullmatch(last):
        raise UnterminatedError
    return found


def lowered(sql: str) -> list[str]:
    """The tokens of ``sql`` in lower case, each at the same index as in ``tokens(sql)``."""
    if "$" in sql:  # the tags of dollar quotes tell upper from lower case
        return [text.lower() for text in tokens(sql)]
    return tokens(sql.lower())


def statements(sql: str) -> list[list[str]]:
    """The lower-case tokens of each statement in ``sql``, with END each; the server skips empty ones, and so does this.

    UnterminatedError as from ``tokens``.
    """
    found = lowered(sql)
    if ";" not in found:
        return [found] if found[0] != END else []
    parts: list[list[str]] = [[]]
    for text in found[:-1]:
        if text == ";":
            parts.append([])
        else:
            parts[-1].append(text)
    return [[*part, END] for part in parts if part]


def _careful(sql: str) -> list[str]:
    found = []
    at = 0
    while match := _TOKEN.match(sql, at):
        text, at = match[1], match.end()
        if text == END:
            break
        if text == "--":
            at = _LINE_END.search(sql, at).start()  # type: ignore[union-attr]  # \Z always matches
        elif text == "/*":
            at = _comment_end(sql, at)
        elif text[0] == "$" and len(text) > 1:
            at = _after(sql, text, at)
            found.append("'$'")
        else:
            found.append(text)
    return [*found, END]


def _comment_end(sql: str, at: int) -> int:
    """Where the comment that is open at ``at`` ends: Postgres nests them, as the SQL standard says."""
    depth = 1
    for edge in _COMMENT_EDGE.finditer(sql, at):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    raise UnterminatedError


def _after(sql: str, tag: str, at: int) -> int:
    end = sql.find(tag, at)
    if end < 0:
        raise UnterminatedError
    return end + len(tag)


def identifier(text: str) -> str | None:
    """The name that the server makes of a token, folded unless it is quoted; None if it is no identifier."""
    if text[:1] == '"':
        return text[1:-1].replace('""', '"') or None
    if is_word(text):
        return text.lower() if text.isascii() else "".join(c.lower() if c.isascii() else c for c in text)
    return None


def is_name(text: str) -> bool:
    """Whether a token is a keyword or an identifier, quoted or not."""
    return is_word(text) or text[-1:] == '"'


def is_word(text: str) -> bool:
    """Whether a token is a keyword or an identifier without quotes."""
    first = text[:1]
    return (first.isalpha() or first == "_" or first > "\x7f") and text[-1] not in "'\""


def literal(text: str) -> str | None:
    """The value of a plain literal without backslashes; None for any other token."""
    if text[:1] == "'" and text != "'$'" and "\\" not in text:
        return text[1:-1].replace("''", "'")
    return None
