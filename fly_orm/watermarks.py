"""How much has been seen of each database."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from .position import UNKNOWN, Position, later


class Watermarks:
    """By database, the latest position that a session, or a task that it has started, has seen. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, Position] = {}
        self._unknown: set[str] = set()
        """The databases of which something later may have been seen."""

    def rise(self, database: str, position: Position) -> None:
        """Note what the primary has told, or UNKNOWN for what it could not be asked for."""
        with self._lock:
            if position.is_unknown:
                self._unknown.add(database)
            else:
                self._known[database] = later(self._known.get(database), position)
                self._unknown.discard(database)

    def known(self, database: str) -> Position | None:
        """The latest position that is known; None if there is none."""
        return self._known.get(database)

    def __iter__(self) -> Iterator[tuple[str, Position]]:
        """Each database with its position, and after that with UNKNOWN if there may be something later."""
        with self._lock:
            return iter([*self._known.items(), *((database, UNKNOWN) for database in self._unknown)])
