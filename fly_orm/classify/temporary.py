"""CREATE, and temporary objects, which last as long as the Postgres session."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from .lexer import END
from .statement import Statement, write
from .token_reader import TokenReader

_TEMPORARY = re.compile(r"(or replace )?(global |local )?temp(orary)? ")


def create(reader: TokenReader) -> Statement:
    """The classification of a CREATE; a temporary object is state of the Postgres session."""
    what = reader.tokens
    if not {"function", "procedure"}.isdisjoint(what[:3]):
        name = what[: what.index("(")] if "(" in what else what
        return replace(write("CREATE", leaves_state=uses_pg_temp(name)), defines_functions=True)
    if not (_TEMPORARY.match(" ".join(what[:5])) or uses_pg_temp(what)):
        return write("CREATE")
    return write("CREATE TEMP", leaves_state=" on commit drop " not in " ".join([*what, END]))


def uses_pg_temp(found: Iterable[str]) -> bool:
    """Whether these tokens name the schema of temporary objects."""
    return "pg_temp" in found or '"pg_temp"' in found


def creates_in_pg_temp(search_path: str | None) -> bool:
    """Whether objects that are created under a ``search_path`` are temporary; None is one that is not known."""
    return search_path is not None and search_path.partition(",")[0].strip().strip('"') == "pg_temp"
