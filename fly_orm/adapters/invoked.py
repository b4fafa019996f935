"""What adapters ask about the function that runs for a caller elsewhere."""

from __future__ import annotations

from ..routing.router import Router
from ..sessions.activity import Activity
from ..sessions.context import current_invocation


def in_function() -> bool:
    """Whether this code is part of a function that runs for a caller on another node."""
    return current_invocation() is not None


def function_activity(router: Router) -> Activity | None:
    """What the function that runs for a caller elsewhere has done with a database; None outside of such functions.

    Its attribute ``leaves_state`` says whether a statement may have changed session settings. An adapter may set it: to
    what it was, after it has made settings of its own.
    """
    invocation = current_invocation()
    return None if invocation is None else invocation.of(router)
