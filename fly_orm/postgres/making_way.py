"""Statements that need a database without other connections, such as DROP DATABASE, and who makes way for them."""

from __future__ import annotations

import re
from typing import Protocol
from weakref import WeakSet

# Postgres runs none of them within a transaction, or together with others in one string, so they come first.
# A comment matches in one way only. To try others, as with .*?, would take exponential time.
_STATEMENT = re.compile(rb"(?:\s|--[^\n]*\n|/\*(?:[^*]|\*(?!/))*\*/)*(?:drop|create|alter)\s+database\b", re.IGNORECASE)
#: What is looked at of a statement, since others are long.
_LONGEST = 10_000
#: CREATE DATABASE copies it unless the statement names another template.
_TEMPLATE = b"template1"


class Occupant(Protocol):
    """Something that keeps idle connections to a database."""

    @property
    def database(self) -> str | None:
        """The name of the Postgres database; None if there has been no connection to it."""
        ...

    def make_way(self) -> None:
        """Close the idle connections, and for some seconds those that become idle."""
        ...


_occupants: WeakSet[Occupant] = WeakSet()


def occupy(occupant: Occupant) -> None:
    """Call ``occupant.make_way()`` before a statement of this process that needs its database without connections."""
    _occupants.add(occupant)


def make_way_for(statement: bytes | str) -> None:
    """Close the idle connections of this process to the databases that the statement needs without connections."""
    start = statement[:_LONGEST]
    text = start.encode(errors="replace") if isinstance(start, str) else start
    if _STATEMENT.match(text) is None:
        return
    names = text.lower() + _TEMPLATE
    for occupant in list(_occupants):
        # A name that only looks alike costs a new connection.
        if occupant.database is not None and occupant.database.lower().encode() in names:
            occupant.make_way()
