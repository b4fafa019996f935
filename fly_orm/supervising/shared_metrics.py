"""The metrics of the workers of a node, which keep them in files that their supervisor reads."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping

from ..errors import ConfigurationError
from ..prometheus import files
from ..serving.http import Page


class SharedMetrics:
    """A folder with the metrics of all workers. Needs prometheus-client. Thread-safe."""

    def __init__(self) -> None:
        """Make the folder. ConfigurationError if there is no place for it."""
        try:
            self._folder = tempfile.mkdtemp(prefix="fly-orm-metrics-")
        except OSError as error:
            raise ConfigurationError(
                f"the workers cannot share their metrics, for which they need a temporary folder: {error}; set TMPDIR "
                "to a folder that this process may write to, or leave out --http or --workers"
            ) from error

    @property
    def variables(self) -> Mapping[str, str]:
        """What a worker has to find in its environment."""
        return {files.VARIABLE: self._folder}

    def page(self) -> Page:
        """The metrics of all workers."""
        return Page(status=200, text=files.text_of_all_processes(self._folder), content_type=files.CONTENT_TYPE)

    def worker_ended(self, pid: int) -> None:
        """Forget the gauges of a worker. What it has counted stays part of the sums."""
        files.forget_gauges(pid, self._folder)

    def close(self) -> None:
        """Remove the folder, which no worker needs any more."""
        shutil.rmtree(self._folder, ignore_errors=True)
