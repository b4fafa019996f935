"""The web server of a region: serves the guest book, and reports how its statements were served."""

from __future__ import annotations

import argparse
import json
import logging
import socket
import sys
import threading
from typing import Any

from werkzeug.serving import make_server

from ..app import app
from .child import end_with_parent
from .receipt import Receipt
from .steps import Place, Step
from .visitor import Visitor

_writing = threading.Lock()


def main() -> None:
    """Serve at the socket that this process has inherited, until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("region")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--ports", type=json.loads, required=True)
    parser.add_argument("--primary", required=True)
    parser.add_argument("--far", action="store_true")
    options = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    place = Place(region=options.region, far=options.far, primary=options.primary)
    Receipt(app, place, options.ports, lambda taken: _say(kind="page", steps=taken))
    visitor = Visitor(place, lambda taken, missed: _say(kind="visit", steps=taken, missed=missed))

    def hear(line: str) -> None:
        told = json.loads(line)
        place.primary = told["primary"]
        visitor.go(told["visit"])

    listener = socket.socket(fileno=options.fd)
    server = make_server(*listener.getsockname()[:2], app, threaded=True, fd=listener.fileno())
    end_with_parent(hear)
    _say(kind="ready")
    server.serve_forever()


def _say(*, kind: str, steps: list[Step] | None = None, **fields: Any) -> None:
    """Tell the stage something, in one line."""
    line = json.dumps({"kind": kind, "steps": [step.encode() for step in steps or []], **fields})
    with _writing:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
