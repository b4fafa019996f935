"""The files in which several processes keep their metrics, so that any of them can show those of all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest, multiprocess, values
from prometheus_client.mmap_dict import MmapedDict

#: The content type of what is shown: the format that every version of Prometheus reads.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: The variable that names the folder with the files.
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

#: The kinds of metrics that are summed up.
_SUMMED = ("counter", "histogram", "summary")
#: What the head of a file takes, and an entry besides its key, at most.
_HEAD_BYTES, _ENTRY_BYTES = 8, 32

_open_file: Callable[[str], Any] = MmapedDict  # which has no types, as these
_values_of: Callable[[str], Any] = MmapedDict.read_all_values_from_file
_make_collector: Callable[[None, str | None], Any] = multiprocess.MultiProcessCollector
_mark_dead: Callable[[int, str], Any] = multiprocess.mark_process_dead


def is_multiprocess() -> bool:
    """Whether this process keeps its metrics in files, as ``PROMETHEUS_MULTIPROC_DIR`` says."""
    return values.ValueClass is not values.MutexValue


def text_of(registry: CollectorRegistry) -> str:
    """The metrics in a registry, as Prometheus reads them."""
    return str(generate_latest(registry), "utf-8")


def text_of_all_processes(folder: str | None = None) -> str:
    """The metrics in a folder; None is that of ``PROMETHEUS_MULTIPROC_DIR``."""
    registry = CollectorRegistry()
    registry.register(_make_collector(None, folder))
    return text_of(registry)


def forget_gauges(pid: int, folder: str) -> None:
    """Remove the gauges of a process that has ended."""
    _mark_dead(pid, folder)


def add_to_ended(pid: int, folder: Path) -> None:
    """Move what a process that has ended has counted into one file for all of those, so that files do not accumulate.

    Nobody may read the folder meanwhile. OSError if there is no space; nothing is lost then.
    """
    for kind in _SUMMED:
        own, ended = folder / f"{kind}_{pid}.db", folder / f"{kind}_ended.db"
        if own.exists():
            _write(_sums([each for each in (ended, own) if each.exists()]), ended)
            own.unlink()


def _sums(paths: Sequence[Path]) -> dict[str, float]:
    """What files say together, by the keys of prometheus_client."""
    sums: dict[str, float] = {}
    for path in paths:
        if path.stat().st_size:  # else its process has ended while it made the file
            for key, value, *_ in _values_of(str(path)):
                sums[key] = sums.get(key, 0.0) + value
    return sums


def _write(sums: Mapping[str, float], path: Path) -> None:
    """Replace a file by one with these values."""
    new = path.with_suffix(".new")
    # All of its space at once: prometheus_client maps the file, and to write to what has no space ends a process.
    new.write_bytes(bytes(_HEAD_BYTES + sum(len(key.encode()) + _ENTRY_BYTES for key in sums)))
    written = _open_file(str(new))
    for key, value in sums.items():
        written.write_value(key, value, 0.0)
    written.close()
    new.replace(path)
