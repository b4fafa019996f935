"""The command ``fly-orm`` for another process: ``python -m fly_orm.testing.lifeline serve shop:db`` ends with it.

Its standard input is a pipe that the other process holds open, and so ends however that process ends, SIGKILL included.
"""

from __future__ import annotations

import os
import sys
import threading

from fly_orm.cli import main


def hold(lifeline: int) -> None:
    """End this process at once when the pipe does."""

    def watch() -> None:
        os.read(lifeline, 1)
        os._exit(1)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def take_standard_input() -> int:
    """The pipe, in place of which the application finds an empty standard input."""
    lifeline, nothing = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return lifeline


if __name__ == "__main__":
    hold(take_standard_input())
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # so that what is printed can be read
    sys.exit(main())
