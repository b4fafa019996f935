"""Tracebacks as notes on the exceptions that travel."""

from __future__ import annotations

from pathlib import Path
from traceback import TracebackException
from types import TracebackType
from typing import Any

from ..names import TEXT_CHARACTERS
from .state import base_attribute

#: The folder of fly_orm's own code.
_PACKAGE = f"{Path(__file__).parents[2]}/"
_HEADING = "Traceback on another node:\n"


def notes_of(error: BaseException) -> list[str]:
    """The notes of an exception."""
    notes = base_attribute(error, "__dict__").get("__notes__")
    return [note for note in notes if type(note) is str] if type(notes) in (list, tuple) else []


def traceback_notes(error: BaseException) -> list[str]:
    """A note with the traceback of an exception, without local variables. No note if it was never raised.

    Its cause travels as an exception with a note of its own. The exception during whose handling it was raised, its
    context, does not travel, so that it is part of this note. The traceback begins at the function that the node
    called, without the frames of fly_orm that led there.
    """
    has_cause = base_attribute(error, "__cause__") is not None or base_attribute(error, "__suppress_context__")
    if base_attribute(error, "__traceback__") is None and (has_cause or base_attribute(error, "__context__") is None):
        return []
    try:
        text = _format(error, chain=not has_cause)
    except BaseException:  # noqa: BLE001  # formatting calls the __str__ of exceptions
        return []
    return [_HEADING + (text if len(text) <= TEXT_CHARACTERS else "…" + text[-TEXT_CHARACTERS:])]


def _format(error: BaseException, *, chain: bool) -> str:
    frames = _from_the_function_on(base_attribute(error, "__traceback__"))
    trace: Any = TracebackException(type(error), error, frames, compact=True)
    trace.__notes__ = None  # they travel by themselves
    return "".join(trace.format(chain=chain)).rstrip()


def _from_the_function_on(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without fly_orm's own frames at its beginning; all of it if it has no other ones."""
    first = trace
    while first is not None and first.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        first = first.tb_next
    return first or trace
