"""The folder in which the workers of a node keep their metrics."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytest.importorskip("prometheus_client")

from prometheus_client.mmap_dict import MmapedDict, mmap_key

from fly_orm.supervising.shared_metrics import SharedMetrics
from tests.support.waiting import PATIENCE


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """An empty folder for temporary files, here and in processes that are started."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def metrics():
    made = SharedMetrics()
    yield made
    made.close()


def folder_of(metrics):
    [folder] = metrics.variables.values()
    return Path(folder)


def count(metrics, pid, *, labels=1):
    """Do what a worker does that counts once, and observes 0.2 s."""
    counted = MmapedDict(str(folder_of(metrics) / f"counter_{pid}.db"))
    for number in range(labels):
        counted.write_value(mmap_key("seen", "seen_total", ["number"], [str(number)], "What was seen"), 1.0, 0.0)
    counted.close()
    observed = MmapedDict(str(folder_of(metrics) / f"histogram_{pid}.db"))
    for limit, value in (("0.1", 0.0), ("1.0", 1.0), ("+Inf", 0.0)):
        observed.write_value(mmap_key("took", "took_bucket", ["le"], [limit], "What it took"), value, 0.0)
    observed.write_value(mmap_key("took", "took_sum", [], [], "What it took"), 0.2, 0.0)
    observed.close()


def test_workers_that_have_ended_stay_in_the_sums_and_take_one_file_of_a_kind(metrics):
    for pid in range(1000, 1020):
        count(metrics, pid)
        metrics.worker_ended(pid)
    count(metrics, 2000)
    lines = metrics.page().text.splitlines()
    assert 'seen_total{number="0"} 21.0' in lines
    assert [line for line in lines if line.startswith(("took_bucket", "took_count")) and "Inf" not in line] == [
        'took_bucket{le="0.1"} 0.0',
        'took_bucket{le="1.0"} 21.0',
        "took_count 21.0",
    ]
    assert {path.name for path in folder_of(metrics).iterdir()} == {
        *("counter_ended.db", "histogram_ended.db"),
        *("counter_2000.db", "histogram_2000.db"),
    }


def test_many_series_find_space_in_the_file_of_those_that_have_ended(metrics):
    for pid in (1000, 1001):
        count(metrics, pid, labels=2000)
        metrics.worker_ended(pid)
    assert 'seen_total{number="1999"} 2.0' in metrics.page().text


def test_a_file_that_cannot_be_read_stops_nobody(metrics, caplog):
    (folder_of(metrics) / "counter_1000.db").touch()  # its process ended just then
    metrics.worker_ended(1000)
    assert metrics.page().status == 200
    assert caplog.text == ""
    (folder_of(metrics) / "counter_1001.db").write_bytes(b"xy")
    metrics.worker_ended(1001)
    assert "the metrics of a worker that has ended cannot be added" in caplog.text


#: A supervisor that is killed while it runs, unless it gets a line.
KILLED = """
import sys
from fly_orm.supervising.shared_metrics import SharedMetrics
print(*SharedMetrics().variables.values(), flush=True)
sys.stdin.readline()
"""


def test_the_folder_of_a_supervisor_that_was_killed_is_removed_by_the_next_one_and_no_other(temporary):
    with subprocess.Popen(
        [sys.executable, "-c", KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        folder = Path(process.stdout.readline().strip())
        (folder / "counter_1000.db").touch()
        SharedMetrics().close()
        assert list(temporary.iterdir()) == [folder]
        process.kill()
        process.wait(PATIENCE)
    SharedMetrics().close()
    assert list(temporary.iterdir()) == []
