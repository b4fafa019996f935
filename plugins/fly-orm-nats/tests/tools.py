"""What the tests share."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

from fly_orm.deadline import now

SECRET = "a secret for tests, long enough"


@contextmanager
def stopped(pid):
    """A process that hangs as long as the block lasts."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def script(text, **environment):
    """A running Python program; what it prints can be read."""
    process = subprocess.Popen(
        [sys.executable, "-c", text],
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self):
        self.began = now()

    @property
    def seconds(self):
        return now() - self.began
