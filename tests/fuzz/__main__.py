"""``make fuzz``: looks for bytes, text and values of others that break a property."""

from __future__ import annotations

import argparse
import io
import logging
import random
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr
from importlib.util import find_spec

MAX_BYTES = 8192
#: What atheris instruments, so that it notices which input reaches new code.
PACKAGES = ["fly_orm", "fly_orm_transports", "fly_orm_nats"]


class Fuzzer:
    """Lets the first byte of an input choose a property, and the others its values."""

    def __init__(self, only: str) -> None:
        import fly_orm
        from tests.fuzz.properties import properties
        from tests.support.two_regions import settings

        fly_orm.configure(settings("lax"))
        logging.disable()
        self._properties = [(name, run) for name, run in properties().items() if only in name]
        self._only = only
        print(f"{len(self._properties)} properties", flush=True)

    def __call__(self, data: bytes) -> None:
        if not data:
            return
        name, run = self._properties[data[0] % len(self._properties)]
        try:
            run(data[1:])
        except BaseException:
            traceback.print_exc()
            print(f"{name} is broken. Run the test, and Hypothesis shows the smallest values; or run this again:")
            only = f" --only {self._only}" if self._only else ""
            print(f"{sys.executable} -m tests.fuzz{only} --replay {data.hex()}", flush=True)
            raise


def main() -> int:
    """0 if no property was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--only", default="", metavar="TEXT", help="only properties with this in their name")
    parser.add_argument("--replay", metavar="HEX", type=bytes.fromhex, help="try this input only")
    parser.add_argument("--engine", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.replay is not None:
        Fuzzer(options.only)(options.replay)
    elif not find_spec("atheris"):
        print("at random, since atheris is not installed: pip install '.[fuzz]'")
        _at_random(Fuzzer(options.only), options.seconds)
    elif options.engine:
        _with_atheris(options.only, options.seconds)
    else:
        return _in_process_of_its_own()
    return 0


def _in_process_of_its_own() -> int:
    """Run atheris, which ends its process, and show what it says if it has found anything."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--engine", *sys.argv[1:]], capture_output=True, text=True
    )
    runs = re.search(r"Done (\d+) runs", done.stderr)
    print(done.stdout + done.stderr if done.returncode else f"no property is broken by {runs and runs[1]} inputs")
    return done.returncode


def _with_atheris(only: str, seconds: float) -> None:
    import atheris

    with redirect_stderr(io.StringIO()), atheris.instrument_imports(include=PACKAGES):  # which names each module
        fuzzer = Fuzzer(only)
    limits = [f"-max_total_time={max(1, round(seconds))}", f"-max_len={MAX_BYTES}", "-timeout=20", "-rss_limit_mb=2048"]
    atheris.Setup([sys.argv[0], *limits, "-exact_artifact_path=/dev/null"], fuzzer)
    atheris.Fuzz()


def _at_random(fuzzer: Callable[[bytes], None], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        fuzzer(random.randbytes(random.randint(1, MAX_BYTES)))
    print("no property is broken")


if __name__ == "__main__":
    sys.exit(main())
