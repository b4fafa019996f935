"""What a process still has open once it has closed everything."""

from __future__ import annotations

import threading
from time import sleep

import psutil

from fly_orm.deadline import Deadline

#: What goes on in the background ends within so many seconds.
PATIENCE = 5.0


def left_here() -> list[str]:
    """The threads of fly_orm, and the sockets, that this process still has after a while."""
    deadline = Deadline.after(PATIENCE)
    while (left := [*_threads(), *_sockets()]) and not deadline.expired:
        sleep(0.05)
    return left


def _threads() -> list[str]:
    names = [thread.name for thread in threading.enumerate()]
    return [f"the thread {name!r}" for name in names if name.startswith(("fly_orm", "fly-orm"))]


def _sockets() -> list[str]:
    connections = psutil.Process().net_connections("all")
    return [f"a connection from {each.laddr} to {each.raddr} ({each.status})" for each in connections if each.laddr]
