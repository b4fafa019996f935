"""The other process in the tests of a transport. It imports the transport, but not pytest.

It prints what it has done, a line at a time, and ends when its standard input ends.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from importlib import import_module
from typing import Any

from fly_orm.deadline import Deadline
from fly_orm.registry import build_transport
from fly_orm.settings import Settings
from fly_orm.transport import Answer

#: A request that is never answered.
HOLD = b"hold"


class Responder:
    """Answers every request with the id of its process, except HOLD."""

    trusted = True
    is_idle = True

    def respond(self, request: bytes) -> bytes:
        if request == HOLD:
            _say("holding")
            threading.Event().wait()
        return b"%d" % os.getpid()

    def authenticate(self, request: bytes) -> Answer:
        return Answer(reply=self.respond(request))

    def last_reply(self, *, is_full: bool = False) -> bytes | None:
        return None

    def gone(self) -> None:
        pass


def main(factory: str, options: str, action: str, address: str, request: str = "") -> None:
    """Serve at the address, or connect to it and send a request, until the standard input ends.

    ``options`` are the transport's, as JSON.
    """
    transport = build_transport(_load(factory), Settings(transport_options=json.loads(options)))
    if action == "serve":
        server = transport.serve(address, lambda peer: Responder())
        _say(server.address)
    else:
        channel = transport.connect(address, Deadline.after(10))
        _say("connected")
        if request:
            channel.exchange(request.encode(), Deadline.after(60))
    sys.stdin.read()
    os._exit(0)  # threads of the transport may still be running


def _load(factory: str) -> Any:
    module, _, name = factory.partition(":")
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _say(line: str) -> None:
    print(line, flush=True)
