"""What connects a worker with its supervisor: a few messages, and the news that the other one has ended."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from ..concurrency.threads import start_thread

#: What the messages of either end are about, one of which each message has as its only key or its first one.
#: From the worker: it serves these ``databases`` at this ``address``; or the ``answer`` of this number, ``problems``.
#: From the supervisor: the question of this number, what keeps the worker from being ready.
SERVES, ANSWER, ASK = "serves", "answer", "ask"
#: The longest message.
_MOST_BYTES = 65536


class Leash:
    """One end. Messages are JSON objects. A thread of its own receives them; any thread may send."""

    def __init__(
        self,
        connection: Connection,
        on_message: Callable[[dict[str, Any]], None],
        on_lost: Callable[[], None],
        name: str,
    ) -> None:
        """``on_lost`` is called when the other process has ended, on that thread, as is ``on_message``.

        Neither is called before :meth:`start`.
        """
        self._connection = connection
        self._on_message = on_message
        self._on_lost = on_lost
        self._sending = threading.Lock()
        self._name = name

    def start(self) -> None:
        """Begin to receive. RuntimeError if no thread can be started."""
        start_thread(self._run, self._name)

    def send(self, **message: Any) -> None:
        """Send a message, unless the other process has ended."""
        with self._sending, suppress(OSError):
            self._connection.send_bytes(json.dumps(message).encode())

    def _run(self) -> None:
        try:
            while True:
                self._on_message(json.loads(self._connection.recv_bytes(_MOST_BYTES)))
        except (EOFError, OSError):
            self._connection.close()
            self._on_lost()
