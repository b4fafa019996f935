"""A signal to stop is noticed whichever thread the system delivers it to."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

TAKEN_BY_ANOTHER_THREAD = """
import signal, sys, threading
from fly_orm.concurrency.signals import STOP, Signals

number = signal.Signals[sys.argv[1]]
with Signals(*STOP) as signals:
    for _ in range(50):
        # As the system may choose any thread, and the main one is to be asleep by then.
        other = threading.Timer(0.005, lambda: signal.pthread_kill(threading.get_ident(), number))
        other.start()
        assert signals.wait() == number
        other.join()
    signals.wake()
    assert signals.wait() == 0
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
print("noticed all")
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_that_another_thread_takes_wakes_the_main_one(name):
    code = [sys.executable, "-c", TAKEN_BY_ANOTHER_THREAD, signal.Signals[name].name]
    assert subprocess.run(code, capture_output=True, text=True, timeout=60).stdout == "noticed all\n"
