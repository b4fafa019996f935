"""Which of the workers accepts the next channel.

A channel stays where it was accepted for as long as its caller needs it, so an uneven start would last. All workers
wait at the same sockets, and the system wakes them all. So one that has more channels than another lets that one go
first. When a worker was replaced, the others close idle channels, one after another, so that their callers open them
there.
"""

from __future__ import annotations

import threading

from .board import Board


class Turns:
    """Counts the channels of this worker, and compares them with those of its siblings. Thread-safe."""

    def __init__(self, board: Board, worker: int) -> None:
        self._board = board
        self._worker = worker
        self._lock = threading.Lock()
        self._channels = 0

    def begin(self) -> None:
        """Let the siblings know that this worker accepts channels."""
        self._board.write(self._worker, "accepting", 1)

    def leave(self) -> None:
        """Leave all further channels to the siblings, if any of them accepts some."""
        self._board.write(self._worker, "accepting", 0)

    def opened(self) -> None:
        """Note that a channel was accepted."""
        self._change(1)

    def closed(self) -> None:
        """Note that a channel has ended."""
        self._change(-1)

    def passes(self, *, waited: bool) -> bool:
        """Whether to leave the next connection to another worker; see :class:`fly_orm.transport.Turns`."""
        others = self._others()
        if not others or not self._board.read("accepting")[self._worker]:
            return bool(others)
        return not waited and self._channels > min(others)

    def exceeds(self, channels: int) -> bool:
        """Whether another worker has at least two channels fewer; see :class:`fly_orm.transport.Turns`."""
        others = self._others()
        return bool(others) and channels > min(others) + 1

    def _others(self) -> list[int]:
        """How many channels each of the siblings has that accept some."""
        rows = enumerate(zip(self._board.read("accepting"), self._board.read("channels"), strict=True))
        return [channels for number, (accepts, channels) in rows if accepts and number != self._worker]

    def _change(self, by: int) -> None:
        with self._lock:
            self._channels += by
            self._board.write(self._worker, "channels", self._channels)
