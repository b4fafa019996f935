"""``make example``: the guest book in three regions on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from examples.two_regions.process import ProcessFailed
from fly_orm import ConfigurationError

from .stage.geography import CITIES, REGIONS
from .stage.sockets import Unavailable, listening

STATIC = Path(__file__).parent / "static"


def main() -> int:
    """Run it, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m examples.guestbook", description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="of the control room; those of the regions follow it")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default: only on this machine)")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        with ExitStack() as undo:
            _serve(options.host, options.port, undo)
    except (ConfigurationError, ProcessFailed, Unavailable, RuntimeError, OSError) as error:
        print(f"The example cannot run: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(f"The example needs {error.name}: pip install '.[demo]'", file=sys.stderr)
        return 1
    return 0


def _serve(host: str, port: int, undo: ExitStack) -> None:
    room, *webs = listening(host, port, undo)
    from werkzeug.serving import make_server

    from .stage.panel import panel
    from .stage.stage import Stage, ports

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # not a line for each request
    print("Starting three regions, which takes some seconds …", flush=True)
    stage = Stage(webs, port, undo)
    numbers = {name: port + offset for offset, name in enumerate(ports(), 1)}
    server = make_server(host, port, panel(stage, numbers, str(STATIC)), threaded=True, fd=room.fileno())
    shown = "localhost" if host == "127.0.0.1" else host
    for region in REGIONS:
        print(f"  {CITIES[region]:<12} http://{shown}:{numbers[region]}")
    print(f"  Control room http://{shown}:{port}", "Ctrl-C ends it.", sep="\n", flush=True)
    server.serve_forever()


def _stop(number: int, _frame: object) -> None:
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)  # a second signal must not interrupt the clean-up
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
