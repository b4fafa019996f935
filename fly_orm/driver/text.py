"""The text of a statement, in whatever form psycopg2 takes it."""

from __future__ import annotations

from typing import Any


def text_of(query: Any, context: Any) -> str:
    """What is classified; it need not be what is sent, in which bytes keep their encoding."""
    if isinstance(query, bytes):
        return query.decode("latin-1")
    as_string = getattr(query, "as_string", None)
    return as_string(context) if as_string else str(query)
