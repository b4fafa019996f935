"""Reserves the space of the files in which a process keeps its metrics before it writes to them.

prometheus_client writes through memory maps of files that it only gives a size. The system looks for space when the
process touches the memory, and where there is none, as in a full ``/tmp``, it kills the process with SIGBUS.
"""

from __future__ import annotations

import io
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from prometheus_client import mmap_dict

from ..concurrency.threads import start_thread

log = logging.getLogger("fly_orm")


class ReservedFile(io.FileIO):
    """A file whose space is reserved with its size; where that fails, what is mapped is memory of this process alone.

    Then nobody else sees what is counted from there on.
    """

    _is_full = False

    def truncate(self, size: int | None = None) -> int:
        """Give the file this size, and space for it. Never fails for want of space."""
        assert size is not None  # noqa: S101  # prometheus_client always says it
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(super().fileno(), 0, size)
            return super().truncate(size)
        except OSError as error:
            self._withdraw()
            _warn(error)
            return size

    def _withdraw(self) -> None:
        """Leave what is in the file to those who read it, which must not find an empty one."""
        if os.fstat(super().fileno()).st_size == 0:
            with suppress(OSError):
                Path(self.name).unlink()
        self._is_full = True

    def fileno(self) -> int:
        """The descriptor to map; -1, which stands for memory without a file, if there is no space for the file."""
        return -1 if self._is_full else super().fileno()


def reserve_files() -> None:
    """Reserve the space of all files of metrics that this process opens from now on."""
    mmap_dict.open = _open  # type: ignore[attr-defined]  # it uses the builtin otherwise


def _open(path: str, mode: str) -> Any:
    return ReservedFile(path, mode) if "a" in mode else Path(path).open(mode)


_warned = False


def _warn(error: OSError) -> None:
    """Say so once. On another thread: prometheus_client holds its lock, and a handler of the log may count lines."""
    global _warned
    if _warned:
        return
    _warned = True
    with suppress(RuntimeError):
        start_thread(lambda: _log(error), "fly_orm metrics warning")


def _log(error: OSError) -> None:
    log.warning(
        "the metrics of this process are incomplete, as they cannot be kept in files: %s; free some space, or set "
        "TMPDIR to another folder, and start it again",
        error,
        extra={"event": "metrics_incomplete", "problem": str(error)},
    )
