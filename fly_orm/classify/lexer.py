"""Splits SQL into tokens: as much of the server's lexer as is needed to tell reads from writes.

A token is represented by its text: a word (``select``), a quoted identifier (``"user"``), a literal (``'it''s'``), a
run of digits, one of psycopg2's placeholders (``%s``, ``%(name)s``), or any other single character. Comments and white
space are skipped. The rules are those of the Postgres manual, section 4.1 "Lexical Structure", and of the server's
``scan.l``.
"""

from __future__ import annotations

import re

from .unicode_names import with_plain_names

#: Follows the last token, so that code that looks one token ahead need not check for the end.
END = ""

_SPACE = r"[ \t\n\r\f\v]"
# The server treats every character outside ASCII as a letter; Python's \w and \s do not.
_START = r"[^\0-@[-^`{-\x7f]"
_LETTER = r"[^\0-#%-/:-@[-^`{-\x7f]"
_TAG_LETTER = r"[^\0-/:-@[-^`{-\x7f]"
# With standard_conforming_strings = on; without it, see with_escapes_marked().
_LITERAL = r"'[^']*(?:''[^']*)*'(?!')"
_WITH_ESCAPES = r"'[^'\\]*(?:(?:''|\\[\s\S])[^'\\]*)*'(?!')"
# A literal goes on after a line break, with the same escapes (Postgres manual, section 4.1.2.1 "String Constants").
_CONTINUED = r"[ \t\f\v]*(?:--[^\n\r]*)?[\n\r](?:[ \t\n\r\f\v]|--[^\n\r]*[\n\r])*"
_ESCAPED = f"[eE]{_WITH_ESCAPES}(?:{_CONTINUED}{_WITH_ESCAPES})*"
_QUOTED = r'"[^"]*(?:""[^"]*)*"(?!")'
_NAMED = r"""%\((?:[^()'"$;%/-]|-(?!-)|/(?!\*))*\)s"""
_DOLLAR = rf"\$(?:{_START}{_TAG_LETTER}*)?\$"
# What is not closed matches the rest of the text. To try again after each quote would take quadratic time.
_OPEN = r"""(?:['"]|%\([^)]*\)s)[\s\S]*"""
_OPEN_ESCAPED = r"[eE]'[\s\S]*"

# Long lists of constants and placeholders, such as those after IN and VALUES, say nothing about a statement. They are
# skipped but for their first item and a few others, which takes a quarter of the time. The number is limited because
# the regular expression engine remembers each repetition.
_CONSTANT = (
    rf"(?:-?[0-9][0-9.]*(?:[eE][+-]?[0-9]+)?|{_LITERAL}|{_ESCAPED}|%s|%\([A-Za-z0-9_]*\)s|[nN][uU][lL][lL]|[tT][rR][uU][eE]"
    r"|[fF][aA][lL][sS][eE])(?:::[A-Za-z0-9_]+)?"
)
_ITEM = rf"{_SPACE}*(?:{_CONSTANT}|\({_SPACE}*{_CONSTANT}(?:{_SPACE}*,{_SPACE}*{_CONSTANT})*{_SPACE}*\)){_SPACE}*"
_LIST = f"(?<=,)(?:{_ITEM},){{16,1000}}"

_TOKEN = re.compile(
    rf"(?:{_LIST})?{_SPACE}*({_QUOTED}|[,.()=;]|{_ESCAPED}|{_OPEN_ESCAPED}|[uU]&{_QUOTED}|{_START}{_LETTER}*|{_LITERAL}"
    rf"|[0-9][0-9.]*|%s(?!{_LETTER})|{_NAMED}|{_OPEN}|--|/\*|{_DOLLAR}|[\s\S]|\Z)"
)
_CLOSED = re.compile(f"{_QUOTED}|{_LITERAL}|{_ESCAPED}|{_NAMED}")
#: What can hold a quote, and the plain literals themselves.
_MARKED = re.compile(
    rf"--[^\n\r]*|/\*|{_QUOTED}|{_ESCAPED}|{_DOLLAR}|{_START}{_LETTER}*|(?P<plain>{_WITH_ESCAPES}|'[\s\S]*)"
)
# As from PostgreSQL 16 on: 0x1F, 1_000.
_NUMBER = "0[xXoObB][0-9a-fA-F_]+|[0-9][0-9._]*(?:[eE][+-]?[0-9_]+)?"
#: What :func:`masked` has to recognize. What it keeps, or passes over, has no literal in it.
_MASKED = re.compile(
    rf"(?P<space>{_SPACE}+)|(?P<comment>--[^\n\r]*|/\*)|(?P<literal>{_ESCAPED}|{_WITH_ESCAPES}|{_NUMBER})"
    rf"|(?P<kept>[uU]&{_QUOTED}|{_QUOTED}|{_START}{_LETTER}*|%s|{_NAMED}|\$[0-9]+)|(?P<dollar>{_DOLLAR})|(?P<open>['\"])"
)
#: The end of each placeholder is looked for as far as the next parenthesis. With more of them than this, and nothing
#: that closes them, that would take quadratic time, in which no other thread of the process runs.
_MOST_PLACEHOLDERS, _MOST_CHARACTERS = 1000, 20_000_000
_LINE_END = re.compile(r"[\n\r]|\Z")
_COMMENT_EDGE = re.compile(r"/\*|\*/")


class UnterminatedError(ValueError):
    """A literal, quoted identifier or comment does not end."""

    def __init__(self) -> None:
        super().__init__("a literal, quoted name or comment has no certain end")


def tokens(sql: str) -> list[str]:
    r"""The tokens of ``sql`` as they are written, and END; UnterminatedError if they cannot be determined.

    A name with Unicode escapes is a token as it would be without them: ``"data"`` for ``U&"d\0061ta"``.
    """
    if "--" in sql or "/*" in sql or "$" in sql:
        found = _careful(sql)
    else:
        _check_placeholders(sql)
        found = _TOKEN.findall(sql)
        if len(found) > 1 and found[-2] == END:
            found.pop()
    last = found[-2] if len(found) > 1 else END
    if last.startswith(("'", '"', "%(", "e'", "E'")) and not _CLOSED.fullmatch(last):
        raise UnterminatedError
    return with_plain_names(found) if '&"' in sql else found


def lowered(sql: str) -> list[str]:
    """The tokens of ``sql`` in lower case, each at the same index as in ``tokens(sql)``."""
    if "$" in sql or '&"' in sql:  # the tags of dollar quotes are case-sensitive, as are characters that escape
        return [text.lower() for text in tokens(sql)]
    return tokens(sql.lower())


def split_statements(sql: str) -> list[list[str]]:
    """The lower-case tokens of each statement in ``sql``, each list with END. Empty statements are skipped.

    UnterminatedError as from :func:`tokens`.
    """
    return split(lowered(sql))


def split(found: list[str]) -> list[list[str]]:
    """These tokens as those of each statement, each list with END. Empty statements are skipped."""
    if ";" not in found:
        return [found] if found[0] != END else []
    parts: list[list[str]] = [[]]
    for text in found[:-1]:
        if text == ";":
            parts.append([])
        else:
            parts[-1].append(text)
    return [[*part, END] for part in parts if part]


def with_dollar_quoted(sql: str) -> list[str]:
    """The tokens of ``sql`` as :func:`tokens` returns them, but with dollar-quoted literals as plain ones.

    A plain literal that goes on after a line break is one token.
    """
    found: list[str] = []
    for text in _careful(sql, keeps_dollar_quoted=True):
        if text[:1] == "'" and found and found[-1][0] == "'":
            found[-1] = found[-1][:-1] + text[1:]
        else:
            found.append(text)
    return found


def with_escapes_marked(sql: str) -> str:
    """The text with E before each plain literal that holds a backslash.

    With ``standard_conforming_strings`` off, the server reads them so (Postgres manual, section 4.1.2.2). An
    unterminated text stays one.
    """
    pieces, done, at = [], 0, 0
    while match := _MARKED.search(sql, at):
        text, at = match[0], match.end()
        if text == "/*" or text[0] == "$":
            try:
                at = _comment_end(sql, at) if text == "/*" else _after(sql, text, at)
            except UnterminatedError:
                break
        elif match["plain"] and "\\" in text:
            pieces.append(f"{sql[done : match.start()]} E")
            done = match.start()
    return "".join(pieces) + sql[done:]


def masked(sql: str) -> str:
    """The text in one line, with a question mark for each literal and number, and without comments.

    It ends with an ellipsis where the text is cut off, or it is not certain where a literal ends.
    """
    pieces, at = [], 0
    while match := _MASKED.search(sql, at):
        pieces.append(sql[at : match.start()])
        kind, text, at = match.lastgroup, match[0], match.end()
        try:
            if text == "/*":
                at = _comment_end(sql, at)
            elif kind == "dollar":
                at = _after(sql, text, at)
        except UnterminatedError:
            kind = "open"
        # Whether a backslash escapes a quote depends on a setting of the server's.
        if kind == "open" or (text[0] == "'" and "\\" in text):
            return " ".join("".join([*pieces, "…"]).split())
        pieces.append({"space": " ", "comment": " ", "kept": text}.get(kind or "", "?"))
    return " ".join("".join([*pieces, sql[at:]]).split())


def _careful(sql: str, *, keeps_dollar_quoted: bool = False) -> list[str]:
    """The tokens of a text with comments or dollar quotes, whose ends a single regular expression cannot find."""
    _check_placeholders(sql)
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
            start, at = at, _after(sql, text, at)
            content = sql[start : at - len(text)].replace("'", "''") if keeps_dollar_quoted else "$"
            found.append(f"'{content}'")
        else:
            found.append(text)
    return [*found, END]


def _check_placeholders(sql: str) -> None:
    """Raise UnterminatedError if it would take too long to find the ends of what look like placeholders."""
    count = sql.count("%(")
    if count > _MOST_PLACEHOLDERS and count * max(map(len, sql.split(")"))) > _MOST_CHARACTERS:
        raise UnterminatedError


def _comment_end(sql: str, at: int) -> int:
    """The index after the comment that is open at ``at``. Comments nest, as in the SQL standard."""
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
    """The name that a token means to the server, folded to lower case unless quoted; None for other tokens."""
    if text[:1] == '"':
        return text[1:-1].replace('""', '"') or None
    if is_word(text):
        return text.lower() if text.isascii() else "".join(c.lower() if c.isascii() else c for c in text)
    return None


def is_name(text: str) -> bool:
    """Whether a token is a keyword or an identifier, quoted or not."""
    return is_word(text) or text[-1:] == '"'


def is_word(text: str) -> bool:
    """Whether a token is a keyword or an unquoted identifier."""
    first = text[:1]
    return (first.isalpha() or first == "_" or first > "\x7f") and text[-1] not in "'\""


def literal(text: str) -> str | None:
    """The value of a plain literal; None for other tokens."""
    if text[:1] == "'" and text != "'$'":
        return text[1:-1].replace("''", "'")
    return None
