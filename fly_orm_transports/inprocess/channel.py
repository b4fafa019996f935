"""Both ends of a channel, and the delivery of messages from one to the other."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue

from fly_orm.errors import NotDelivered, OutcomeUnknown
from fly_orm.transport import (
    MAX_MESSAGE_BYTES,
    STRANGER_MAX_MESSAGE_BYTES,
    Deadline,
    Latch,
    Responder,
    abandon_in_children,
    start_thread,
)

from .link import Fault, Link, Point

log = logging.getLogger(__name__)

#: Seconds between the delivery of a request and the loss of its channel, where a fault asks for that.
LOSS_DELAY = 0.1


class InProcessChannel:
    """Both ends of a channel. Each request is answered on a thread of its own, so that the caller can time out."""

    def __init__(self, link: Link, responder: Responder, on_close: Callable[[InProcessChannel], None]) -> None:
        self._link = link
        self._name = link.name
        self._responder = responder
        self._on_close = on_close
        self._state, self._in_use, self._gone_lock = threading.Lock(), threading.Lock(), threading.Lock()
        self._draining = self._gone = False
        self._closed, self._answered = Latch(), Latch()
        self._answered.set()  # until there is a request
        self._replies: SimpleQueue[bytes | None] = SimpleQueue()
        abandon_in_children(self)

    def exchange(self, request: bytes, deadline: Deadline) -> bytes:
        """The reply, NotDelivered, or OutcomeUnknown; after any exception the channel is closed."""
        if not self._in_use.acquire(blocking=False):
            raise self._not_delivered("another caller is using the channel")
        try:
            self._start(request, deadline)
            return self._reply(deadline)
        except BaseException:
            self.close()
            raise
        finally:
            self._in_use.release()

    def _start(self, request: bytes, deadline: Deadline) -> None:
        with self._state:
            if problem := self._problem(request, deadline):
                raise self._not_delivered(problem)
            self._answered = answered = Latch()
            try:
                deliver = partial(self._deliver, request, self._replies, self._link.take_fault(), answered)
                start_thread(deliver, f"fly-orm {self._name}")
            except BaseException:
                answered.set()
                raise

    def _problem(self, request: bytes, deadline: Deadline) -> str | None:
        if self._closed.is_set() or self._draining:
            return "the channel is closed"
        if len(request) > MAX_MESSAGE_BYTES:
            return f"it is {len(request)} bytes long, and {MAX_MESSAGE_BYTES} are allowed"
        return f"no time was left of {deadline}" if deadline.expired else None

    def _deliver(
        self, request: bytes, replies: SimpleQueue[bytes | None], fault: Fault | None, answered: Latch
    ) -> None:
        """Deliver the request to the responder, and its reply to the caller, unless one of them is lost on the way."""
        reply = None
        if self._travel(fault, Point.BEFORE_REQUEST):
            reply = self._respond(request, fault)
            if not self._travel(fault, Point.BEFORE_REPLY):
                reply = None
        replies.put(reply)
        answered.set()

    def _travel(self, fault: Fault | None, point: Point) -> bool:
        """Let half a round trip pass; whether the message arrives after it."""
        if fault and fault.point is point:
            self._lose(fault)
        return not self._closed.wait(self._link.rtt / 2)

    def _lose(self, fault: Fault) -> None:
        """Make the fault happen: drop the channel, with whatever is on its way."""
        self.close()
        fault.fired.set()

    def _respond(self, request: bytes, fault: Fault | None) -> bytes | None:
        """The reply; None if there is none, or if the fault drops the channel before the reply is sent."""
        if not (fault and fault.point is Point.AFTER_REQUEST):
            return self._reply_to(request)
        timer = threading.Timer(LOSS_DELAY, self._lose, [fault])
        timer.start()
        self._reply_to(request)
        timer.cancel()
        self._lose(fault)
        return None

    def _reply_to(self, request: bytes) -> bytes | None:
        try:
            if len(request) > STRANGER_MAX_MESSAGE_BYTES and not self._responder.trusted:
                return None
            return self._responder.respond(request)
        except BaseException:  # nothing above this thread would report it
            log.exception(
                "the responder of %s raised an exception",
                self._name,
                extra={"event": "internal_error", "peer": self._name},
            )
            return None

    def _reply(self, deadline: Deadline) -> bytes:
        remaining = deadline.remaining()
        try:
            reply = self._replies.get(timeout=None if remaining is None else min(remaining, threading.TIMEOUT_MAX))
        except Empty:
            raise self._outcome_unknown(f"timed out (time limit: {deadline})") from None
        if reply is None:
            raise self._outcome_unknown("the channel was closed")
        if len(reply) > MAX_MESSAGE_BYTES:
            raise self._outcome_unknown(f"the reply is {len(reply)} bytes long, and {MAX_MESSAGE_BYTES} are allowed")
        return reply

    def _not_delivered(self, problem: str) -> NotDelivered:
        return NotDelivered(f"the request was not sent to {self._name!r}: {problem}", address=self._name)

    def _outcome_unknown(self, problem: str) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"the request was sent to {self._name!r} and may have been executed, but no reply came: {problem}",
            address=self._name,
            problem=problem,
        )

    def close(self) -> None:
        """See :meth:`fly_orm.transport.Channel.close`. An exchange in progress on another thread ends at once."""
        self._closed.set()
        self._replies.put(None)
        self._report_gone()
        self._on_close(self)
        self._link.detach(self)

    def _report_gone(self) -> None:
        with self._gone_lock:
            if not self._gone:
                self._gone = True
                self._responder.gone()

    def drain(self) -> None:
        """Take no further request."""
        with self._state:
            self._draining = True

    def finish(self, deadline: Deadline) -> None:
        """Close the channel once the request being answered has its reply, or the deadline has passed."""
        with self._state:
            answered = self._answered
        answered.wait(deadline.remaining())
        self.close()

    def abandon(self) -> None:
        """Close the channel in this forked process only; its responder belongs to the parent."""
        self._state, self._in_use, self._gone_lock = threading.Lock(), threading.Lock(), threading.Lock()
        self._closed.set()
        self._gone = True
