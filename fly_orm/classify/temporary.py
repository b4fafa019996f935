"""CREATE, and the temporary objects that last as long as their session."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .lexer import END
from .reader import Reader
from .statement import Statement, write

_TEMPORARY = re.compile(r"(or replace )?(global |local )?temp(orary)? ")


def create(reader: Reader) -> Statement:
    """What a CREATE is, and whether what it creates lasts as long as the session."""
    what = reader.tokens
    if not (_TEMPORARY.match(" ".join(what[:5])) or uses_pg_temp(what)):
        return write("CREATE")
    return write("CREATE TEMP", pins=" on commit drop " not in " ".join([*what, END]))


def uses_pg_temp(found: Iterable[str]) -> bool:
    """Whether these tokens name the schema of temporary objects."""
    return "pg_temp" in found or '"pg_temp"' in found
