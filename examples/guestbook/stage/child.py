"""What the processes of the stage have in common: they hear commands, and end when the stage does."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable


def end_with_parent(hear: Callable[[str], None] = lambda line: None) -> None:
    """Pass each line of standard input on, on a thread of its own, and end this process at the end of the input."""

    def listen() -> None:
        for line in sys.stdin:
            hear(line)
        os._exit(0)

    threading.Thread(target=listen, name="stage", daemon=True).start()
