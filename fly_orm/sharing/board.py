"""Numbers that the workers of a node show each other, in memory that they share."""

from __future__ import annotations

import mmap
import os
import tempfile

_COLUMNS = ("channels", "accepting")
_CELL_BYTES = 4


class Board:
    """A few numbers of each worker. All read them, and only the worker itself writes them. Thread-safe.

    The supervisor clears those of a worker that has ended.
    """

    def __init__(self, fd: int, workers: int) -> None:
        self.fd = fd
        size = workers * len(_COLUMNS) * _CELL_BYTES
        os.ftruncate(fd, size)
        self._cells = memoryview(mmap.mmap(fd, size)).cast("I")
        self._workers = workers

    @classmethod
    def make(cls, workers: int) -> Board:
        """A new one, for the supervisor, all of whose numbers are 0."""
        if hasattr(os, "memfd_create"):  # needs no folder to write to, which a container may lack
            return cls(os.memfd_create("fly_orm-workers"), workers)
        with tempfile.TemporaryFile() as file:
            return cls(os.dup(file.fileno()), workers)

    def read(self, column: str) -> list[int]:
        """The numbers of all workers in this column."""
        return list(self._cells[_COLUMNS.index(column) :: len(_COLUMNS)])

    def write(self, worker: int, column: str, value: int) -> None:
        """Show a number."""
        self._cells[worker * len(_COLUMNS) + _COLUMNS.index(column)] = value

    def clear(self, worker: int) -> None:
        """Set all numbers of a worker to 0."""
        for column in _COLUMNS:
            self.write(worker, column, 0)
