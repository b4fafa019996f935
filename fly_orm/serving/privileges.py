"""Says as whom a function has run, if that role may not do what the function does."""

from __future__ import annotations

from contextlib import suppress

from psycopg2.errors import InsufficientPrivilege

_NOTE = (
    "The function ran as the role that its node logs in as, whoever called it. Grant this role what the function "
    "needs, or let the node log in as another one"
)
#: Where ORMs keep the driver's error. What was merely being handled (``__context__``) may be another matter.
_ORIGINALS = ("__cause__", "orig", "original_exc")


def note_role(error: BaseException) -> None:
    """Add a note to what a function raised if a privilege was missing. Never raises."""
    with suppress(Exception):  # an exception of the application's may do anything when it is read
        if _lacks_privilege(error, 0):
            error.__notes__ = [*getattr(error, "__notes__", ()), _NOTE]


def _lacks_privilege(error: object, depth: int) -> bool:
    if isinstance(error, InsufficientPrivilege) or depth > 4 or not isinstance(error, BaseException):
        return isinstance(error, InsufficientPrivilege)
    return any(_lacks_privilege(getattr(error, name, None), depth + 1) for name in _ORIGINALS)
