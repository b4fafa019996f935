"""Runs the benchmarks, or those named on the command line, and prints their tables."""

from __future__ import annotations

import argparse
import signal
import sys

from . import (
    eager,
    exactly_once,
    functions,
    idle_channels,
    imports,
    late_replica,
    load,
    local_reads,
    node_cpu,
    peers,
    read_your_writes,
    report,
    soak,
    stalls,
    strangers,
    throughput,
    tls,
    transactions,
    transports,
    waiting,
    write_latency,
)
from .world import world

MODULES = (
    local_reads,
    node_cpu,
    imports,
    write_latency,
    transactions,
    exactly_once,
    functions,
    read_your_writes,
    throughput,
    waiting,
    late_replica,
    eager,
    stalls,
    transports,
    tls,
)
#: What takes minutes, and tells more about reliability than about speed: only by name.
LOADS = (load, idle_channels, soak, strangers, peers)
BENCHMARKS = {module.__name__.rpartition(".")[2]: module for module in (*MODULES, *LOADS)}
USUAL = [name for name, module in BENCHMARKS.items() if module not in LOADS]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    names = parser.parse_args().names or USUAL
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))  # which stops what was started
    with world(FLY_ORM_TRANSPORT_OPTIONS=idle_channels.OPTIONS) as two_regions:
        print(report.machine(two_regions.reach["version"]), flush=True)
        for name in names:
            print(f"\n{BENCHMARKS[name].run(two_regions)}", flush=True)


if __name__ == "__main__":
    main()
