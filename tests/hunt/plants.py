"""Faults to plant, each of which the hunt has to find: what fly_orm would do without one of its rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fly_orm.deadline import Deadline
from fly_orm.driver import connection as driver
from fly_orm.forwarding.fence import Fence
from fly_orm.functions import dispatching
from fly_orm.local import instance, replica
from fly_orm.local.progress import Progress
from fly_orm.position import Position
from fly_orm.routing.freshness import Freshness
from fly_orm.sessions.context import current
from fly_orm.sessions.session import Session


def _believe_every_server() -> None:
    """What one server behind the address has shown counts for all of them."""
    Progress.shows = lambda self, position: True  # type: ignore[method-assign]


def _forget_restarts() -> None:
    """A server that crashed and came back counts as having shown what it had shown before."""
    read = instance.read_instance

    def read_address(connection: Any) -> Any:
        found = read(connection)
        return None if found is None else found._replace(started="", reset="")

    replica.read_instance = driver.read_instance = read_address


def _forget_pins() -> None:
    """A position that some server has shown is not looked for on the next one."""
    wait = Freshness._wait_for_replica

    def forgetting(self: Freshness, position: Position, deadline: Deadline, connection: Any) -> None:
        wait(self, position, deadline, connection)
        current().pins.pop(self._name(), None)

    Freshness._wait_for_replica = forgetting  # type: ignore[method-assign]


def _ignore_timelines() -> None:
    """Positions are compared by their LSN alone."""
    Progress.includes = lambda self, position: True  # type: ignore[method-assign]
    Progress.is_past = Progress.is_elsewhere = lambda self, position: False  # type: ignore[method-assign]


def _move_freely() -> None:
    """A session that moves on to another server does not ask the one before how far it was."""
    Freshness._follow = lambda self, session, connection: None  # type: ignore[method-assign]


def _tell_nothing_of_functions() -> None:
    """What a function has read on the primary does not count as seen by its caller."""
    dispatching._expect_what_was_read = lambda reply, routers: None


def _trust_old_primaries() -> None:
    """A node is not told that the caller has seen a newer primary."""
    Fence.newest = lambda self, database: []  # type: ignore[method-assign]


def _lose_tokens() -> None:
    """What a user has seen in one process is not known in the next."""
    Session.resume = lambda self, database, position: None  # type: ignore[method-assign]


PLANTS: dict[str, Callable[[], None]] = {
    "believe": _believe_every_server,
    "restarts": _forget_restarts,
    "pins": _forget_pins,
    "timelines": _ignore_timelines,
    "moves": _move_freely,
    "functions": _tell_nothing_of_functions,
    "tokens": _lose_tokens,
    "fence": _trust_old_primaries,
}
