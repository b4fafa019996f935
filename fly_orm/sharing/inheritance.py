"""What a worker inherits from its supervisor, and how it is told."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Inheritance:
    """The file descriptors that a worker inherits, and what they are for."""

    number: int
    """The worker's own, from 0."""
    workers: int
    """How many there are."""
    transport: str
    """The name of the transport that has bound the address."""
    address: str
    """The address, as it was given."""
    leash: int
    """The worker's end of the :class:`.leash.Leash`."""
    board: int
    """The file of the :class:`.board.Board`."""
    listeners: tuple[int, ...]
    """The sockets that listen at the address."""
    inbox: int
    """Where the worker receives what its siblings send; see :class:`.siblings.Siblings`."""
    outboxes: tuple[int, ...]
    """Where to send to each worker, by its number."""

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All of them."""
        return self.leash, self.board, self.inbox, *self.listeners, *self.outboxes

    def encode(self) -> str:
        """All of it as a text, for the command line. Nothing in it is secret."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> Inheritance:
        """What :meth:`encode` has made a text of."""
        values: Any = json.loads(text)
        given: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in values.items()}
        return cls(**given)
