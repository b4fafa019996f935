"""Puts a routed class below the user's own connection or cursor class."""

from __future__ import annotations

from typing import Any

from ..postgres.subclasses import named_like


def mix(users: Any, routed: Any, **attributes: Any) -> Any:
    """A class that is the user's, whose calls of psycopg2's methods reach the routed ones; it keeps the user's name."""
    bases = (routed,) if issubclass(routed, users) else (users, routed)
    return named_like(users, *bases, **attributes)
