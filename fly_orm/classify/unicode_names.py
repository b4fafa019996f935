"""Names that are spelled with Unicode escapes (Postgres manual, section 4.1.1 "Identifiers and Key Words")."""

from __future__ import annotations

import re

#: What cannot be the escape character.
_NO_ESCAPE = re.compile(r"[0-9a-fA-F+'\"\s]")


def with_plain_names(tokens: list[str]) -> list[str]:
    r"""The tokens with ``"data"`` in place of ``U&"d\0061ta"``, and of ``U&"d!0061ta" UESCAPE '!'``.

    A name that cannot be read stays as it is, without what follows UESCAPE.
    """
    found: list[str] = []
    at = 0
    while at < len(tokens):
        text = tokens[at]
        at += 1
        if text[:3].lower() == 'u&"':
            escape: str | None = "\\"
            if tokens[at].lower() == "uescape":  # which can be nothing else here
                given = tokens[at + 1]
                escape = given[1] if len(given) == 3 and given[0] == "'" and not _NO_ESCAPE.match(given[1]) else None
                at = min(at + 2, len(tokens) - 1)
            text = _decoded(text, escape) or text
        found.append(text)
    return found


def _decoded(text: str, escape: str | None) -> str | None:
    """The quoted name that a token stands for; None if the server would not accept it, or it cannot be read."""
    if escape is None:
        return None
    mark = re.escape(escape)
    parts = re.split(rf"{mark}({mark}|[0-9a-fA-F]{{4}}|\+[0-9a-fA-F]{{6}})", text[3:-1].replace('""', '"'))
    if any(escape in part for part in parts[::2]):
        return None
    codes = [part if part == escape else _character(part) for part in parts[1::2]]
    name = "".join(plain + code for plain, code in zip(parts[::2], [*codes, ""], strict=True))
    try:
        name = name.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return None
    return '"{}"'.format(name.replace('"', '""')) if name else None


def _character(code: str) -> str:
    number = int(code.removeprefix("+"), 16)
    return chr(number) if number < 0x110000 else "\ud800"  # which, alone, is no character
