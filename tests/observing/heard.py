"""An observer for tests, which keeps all that it hears."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import fly_orm
from fly_orm.observing.event import Event

E = TypeVar("E", bound=Event)


class Heard(fly_orm.Observer):
    """Keeps all events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def event(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]


@contextmanager
def hearing() -> Iterator[Heard]:
    """A block whose events are kept."""
    heard = Heard()
    with fly_orm.observe(heard):
        yield heard
