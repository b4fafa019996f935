"""What events say of a request."""

from __future__ import annotations

from typing import Any

from ..protocol.messages import Call, Cancel, Copy, Request, Run, Settle
from .events import RequestKind

#: The requests that events are about, by their classes.
KINDS: dict[type, RequestKind] = {Run: "run", Copy: "copy", Call: "call", Cancel: "cancel", Settle: "settle"}


def subject_of(request: Request) -> dict[str, Any]:
    """The database and the function that a request is about, as far as it says so."""
    if isinstance(request, Call):
        return {"database": request.database or None, "function": request.function}
    run = request.run if isinstance(request, Settle) else request
    return {"database": run.database if isinstance(run, Run) else None}
