"""How much processor time other processes have spent."""

from __future__ import annotations

import time


def spent(pid: int) -> float:
    """Seconds of all threads of a process, those that have ended included, to the nanosecond (Linux)."""
    # A clock's number is made of the process's and of its kind: MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED) in
    # the kernel's posix-timers_types.h.
    return time.clock_gettime((~pid << 3) | 2)
