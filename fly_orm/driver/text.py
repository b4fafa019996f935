"""The text of a statement, given in any form that psycopg2 accepts."""

from __future__ import annotations

from typing import Any

from psycopg2 import sql as composable


def text_of(query: Any, context: Any) -> str:
    """The text to classify. Not the text to send: bytes are decoded whatever their encoding is."""
    if isinstance(query, bytes):
        return query.decode("latin-1")
    as_string = getattr(query, "as_string", None)
    return as_string(context) if as_string else str(query)


def call_text(name: str, parameters: Any, context: Any) -> str:
    """The query by which psycopg2's ``callproc()`` calls a function, with a placeholder for each parameter."""
    if isinstance(parameters, dict):
        named = [
            composable.SQL("{}:={}").format(composable.Identifier(key), composable.Placeholder(key))
            for key in parameters
        ]
        arguments = composable.SQL(",").join(named).as_string(context)
    else:
        arguments = ",".join(["%s"] * len(parameters or ()))
    return f"SELECT * FROM {name}({arguments})"  # noqa: S608  # as psycopg2 does
