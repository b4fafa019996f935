"""Combines the user's own connection or cursor class with a routing one."""

from __future__ import annotations

from typing import Any

from ..postgres.subclasses import named_like


def mix(users: Any, routed: Any, **attributes: Any) -> Any:
    """The user's class, under its own name, whose calls to psycopg2's methods reach the routing class."""
    bases = (routed,) if issubclass(routed, users) else (users, routed)
    return named_like(users, *bases, **attributes)
