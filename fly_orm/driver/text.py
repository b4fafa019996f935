"""The text of a statement, given in any form that psycopg2 accepts."""

from __future__ import annotations

from typing import Any


def text_of(query: Any, context: Any) -> str:
    """The text to classify. Not the text to send: bytes are decoded whatever their encoding is."""
    if isinstance(query, bytes):
        return query.decode("latin-1")
    as_string = getattr(query, "as_string", None)
    return as_string(context) if as_string else str(query)
