"""The metrics of the workers of a node, which keep them in files that their supervisor reads."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

from ..errors import ConfigurationError
from ..prometheus import files
from ..serving.http import Page

log = logging.getLogger("fly_orm.node")

#: How the names of these folders begin.
_PREFIX = "fly-orm-metrics-"


class SharedMetrics:
    """A folder with the metrics of all workers. Needs prometheus-client. Thread-safe.

    It is locked for as long as this process runs, so that those that were left by supervisors that were killed can be
    told from it.
    """

    def __init__(self) -> None:
        """Make the folder, and remove those that were left. ConfigurationError if there is no place for it."""
        self._lock = threading.Lock()
        """Held while files are read, or removed."""
        try:
            _remove_abandoned()
            self._folder, self._descriptor = _make()
        except OSError as error:
            raise ConfigurationError(
                f"the workers cannot share their metrics, for which they need a temporary folder: {error}; set TMPDIR "
                "to a folder that this process may write to, or leave out --http or --workers"
            ) from error

    @property
    def variables(self) -> Mapping[str, str]:
        """What a worker has to find in its environment."""
        return {files.VARIABLE: str(self._folder)}

    def page(self) -> Page:
        """The metrics of all workers."""
        with self._lock:
            text = files.text_of_all_processes(str(self._folder))
        return Page(status=200, text=text, content_type=files.CONTENT_TYPE)

    def worker_ended(self, pid: int) -> None:
        """Forget the gauges of a worker, and keep what it has counted with that of all that have ended."""
        try:
            with self._lock:
                files.forget_gauges(pid, str(self._folder))
                files.add_to_ended(pid, self._folder)
        except Exception:
            log.exception(
                "the metrics of a worker that has ended cannot be added to those of the others",
                extra={"event": "metrics_failed"},
            )

    def close(self) -> None:
        """Remove the folder, which no worker needs any more."""
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._descriptor)


def _make() -> tuple[Path, int]:
    """A new folder, and the descriptor that keeps it locked."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        try:
            descriptor = _locked(folder)
        except (BlockingIOError, FileNotFoundError):  # another supervisor took it for one that was left
            continue
        if folder.exists():
            return folder, descriptor
        os.close(descriptor)


def _remove_abandoned() -> None:
    """Remove the folders of this user's supervisors that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            descriptor = _locked(folder)
        except OSError:  # it is in use, or somebody else's
            continue
        if os.fstat(descriptor).st_uid == os.geteuid():
            shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _locked(folder: Path) -> int:
    """A descriptor of a folder that has locked it. BlockingIOError if another one has."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
