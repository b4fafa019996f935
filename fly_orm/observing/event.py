"""What all events are made of."""

from __future__ import annotations

from itertools import count
from typing import ClassVar

import msgspec

#: Numbers what has a start and an end: ``next(ids)`` is an id that no other operation of this process has.
ids = count(1)


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """The base of all events, which are frozen values. Durations are in seconds, and sizes in bytes."""

    heard_by: ClassVar[str]
    """The name of the method of :class:`fly_orm.Observer` that the event is passed to."""

    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__ if name[0] != "_")
        return f"{type(self).__name__}({', '.join(shown)})"
