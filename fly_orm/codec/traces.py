"""Tracebacks as notes on the exceptions that travel."""

from __future__ import annotations

from traceback import TracebackException
from typing import Any

from .facets import raw
from .names import TEXT_CHARACTERS

_HEADING = "Traceback on another node:\n"


def notes_of(error: BaseException) -> list[str]:
    """The notes that an exception has."""
    notes = raw(error, "__dict__").get("__notes__")
    return [note for note in notes if type(note) is str] if type(notes) in (list, tuple) else []


def trace_of(error: BaseException) -> list[str]:
    """The note that tells where an exception comes from, without local variables; none if it was never raised.

    What it was raised from travels by itself and tells its own; what it was merely raised during does not.
    """
    alone = raw(error, "__cause__") is not None or raw(error, "__suppress_context__")
    if raw(error, "__traceback__") is None and (alone or raw(error, "__context__") is None):
        return []
    try:
        text = _text(error, alone)
    except BaseException:  # noqa: BLE001  # it asks the exceptions for their texts
        return []
    return [_HEADING + (text if len(text) <= TEXT_CHARACTERS else "…" + text[-TEXT_CHARACTERS:])]


def _text(error: BaseException, alone: bool) -> str:
    trace: Any = TracebackException(type(error), error, raw(error, "__traceback__"), compact=True)
    trace.__notes__ = None  # they travel as they are
    return "".join(trace.format(chain=not alone)).rstrip()
