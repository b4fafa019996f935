"""What the workers of a node ask each other: a lease lives in one of them, and requests about it reach any.

They send datagrams over sockets that they inherit, so nobody else can. A socket of which the worker has ended keeps
what it is sent for the worker that takes its place.
"""

from __future__ import annotations

import itertools
import logging
import os
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from functools import partial

from ..concurrency.latch import Latch
from ..concurrency.threads import start_thread, start_thread_or_run
from ..deadline import Deadline

log = logging.getLogger("fly_orm.node")

#: What they ask for: to cancel the statement that runs in a lease, to end a lease that its caller has given up, and to
#: lend a place of a kind.
CANCEL, GIVE_UP, BORROW = 1, 2, 3
_NO, _YES = 100, 101
_HEADER = struct.Struct("!BHI")
_MOST_BYTES = 512
#: The longest id of a lease, or name of a kind, that is passed on. Callers choose the ids, and fly_orm's have 16 bytes.
MOST_ID_BYTES = 256

#: Does what was asked for, and returns whether it was the one to do it.
Handler = Callable[[bytes], bool]


class _Question:
    """A question to all siblings. Used under their lock."""

    def __init__(self, asked: int) -> None:
        self._left = asked
        self.yes = False
        """Whether one has said yes."""
        self.decided = Latch()
        """Set once one has said yes, or all have said no."""

    def answered(self, *, yes: bool) -> None:
        self._left -= 1
        self.yes |= yes
        if yes or not self._left:
            self.decided.set()


class Siblings:
    """The other workers, as this one asks them and answers them. Thread-safe."""

    def __init__(self, own: int, inbox: socket.socket, outboxes: Sequence[socket.socket]) -> None:
        self._own = own
        self._inbox = inbox
        self._outboxes = {number: outbox for number, outbox in enumerate(outboxes) if number != own}
        for outbox in self._outboxes.values():
            outbox.setblocking(False)
        # Not from 0, as siblings may still answer what the worker has asked whose place this one has taken.
        self._numbers = itertools.count(int.from_bytes(os.urandom(4), "big"))
        self._lock = threading.Lock()
        self._questions: dict[int, _Question] = {}
        self._handlers: dict[int, Handler] = {}

    def answer(self, handlers: dict[int, Handler]) -> None:
        """Begin to answer what siblings ask for. Each handler runs on a thread of its own."""
        self._handlers = handlers
        self._inbox.setblocking(True)
        start_thread(self._run, "fly_orm siblings")

    def ask(self, what: int, about: bytes, deadline: Deadline) -> bool:
        """Ask the siblings for something; whether one has done it.

        Returns once one has said so or all have declined, or at the deadline.
        """
        if len(about) > MOST_ID_BYTES or not self._outboxes:
            return False
        number = next(self._numbers) & 0xFFFFFFFF
        question = _Question(len(self._outboxes))
        with self._lock:
            self._questions[number] = question
        try:
            for sibling in self._outboxes:
                if not self._send(sibling, what, number, about):
                    self._note(number, yes=False)
            question.decided.wait(deadline.remaining())
        finally:
            with self._lock:
                del self._questions[number]
        return question.yes

    def _send(self, sibling: int, what: int, number: int, text: bytes = b"") -> bool:
        """Send to a sibling. False if its inbox is full, as that of one that hangs may be."""
        try:
            self._outboxes[sibling].send(_HEADER.pack(what, self._own, number) + text)
        except OSError:
            return False
        return True

    def _note(self, number: int, *, yes: bool) -> None:
        with self._lock:
            if (question := self._questions.get(number)) is not None:
                question.answered(yes=yes)

    def _run(self) -> None:
        while True:
            try:
                received = self._inbox.recv(_MOST_BYTES)
            except OSError:  # it was closed
                return
            if not received:  # it was shut down
                return
            what, sibling, number = _HEADER.unpack_from(received)
            if what in (_YES, _NO):
                self._note(number, yes=what == _YES)
            elif (handler := self._handlers.get(what)) is not None:
                # On a thread of its own, since to cancel may take a while.
                start_thread_or_run(
                    partial(self._answer, handler, sibling, number, received[_HEADER.size :]), "fly_orm sibling"
                )

    def _answer(self, handler: Handler, sibling: int, number: int, lease: bytes) -> None:
        try:
            answer = _YES if handler(lease) else _NO
        except Exception:
            log.exception("could not do what another worker asks for", extra={"event": "internal_error"})
            answer = _NO
        self._send(sibling, answer, number)
