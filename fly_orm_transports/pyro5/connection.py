"""The accepting side of one connection: a thread that answers one request after the other."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable

from fly_orm.deadline import now
from fly_orm.transport import MAX_MESSAGE_BYTES, Deadline, Latch, Responder

from .connection_table import ConnectionTable
from .stranger import Stranger
from .wire import FAILURES, INVOKE, RESULT, MessageStream

log = logging.getLogger(__name__)

#: Seconds within which a message that has begun must be complete, in either direction.
MESSAGE_TIMEOUT = 30.0


class Connection:
    """One connection whose peer is trusted, and its thread."""

    def __init__(
        self, stream: MessageStream, peer: Stranger, responder: Responder, table: ConnectionTable[Connection]
    ) -> None:
        """``peer`` is what was a stranger until its first request, which has been received but not been answered."""
        self.host = peer.host
        self._stream = stream
        self._peer = peer.peer
        self._responder = responder
        self._table = table
        self._first = first = peer.first
        self._gone = False
        self._gone_lock = threading.Lock()
        self._state_lock = threading.Lock()
        self._busy = self._responding = self._draining = False
        self._linger = peer.linger
        self._finished = Latch()
        """Set once no request is being answered, and none will be."""
        self._greeting = 0 if first is None else first[0]
        """The number of the first request, with which the peer opens its channel."""
        self._seq = 0 if first is None else first[0] - 1
        """The number of the last request that was answered, or is being answered."""
        self._used_at = math.inf if first else now()
        """When the last request was answered, on the monotonic clock; infinity while one is being answered."""
        self._thread = threading.Thread(target=self._run, name=f"fly-orm-pyro5 {peer.peer}", daemon=True)

    def start(self) -> None:
        """Start the thread; RuntimeError if the system grants no more threads."""
        self._thread.start()

    def _run(self) -> None:
        try:
            while self._answer_one():
                pass
            if self._linger.deadline is not None:
                self._stream.discard()
        except FAILURES as error:
            log.debug(
                "the connection of %s ended: %s",
                self._peer,
                error,
                extra={"event": "connection_ended", "peer": self._peer, "problem": str(error)},
            )
        except BaseException:  # nothing above this thread would report it
            log.exception(
                "the connection of %s failed", self._peer, extra={"event": "internal_error", "peer": self._peer}
            )
        finally:
            self._finished.set()
            self.report_gone()
            self._stream.close()
            self._table.remove(self)

    def _answer_one(self) -> bool:
        """Answer one request; whether the connection stays open for another."""
        if self._first is None:
            seq, request = self._stream.wait_for(INVOKE, MAX_MESSAGE_BYTES, MESSAGE_TIMEOUT)
            self._linger.note_received()
        else:
            (seq, request), self._first = self._first, None
        with self._state_lock:
            if self._draining:  # a server that is closing has declined the request already
                return False
            self._busy = self._responding = True
            self._used_at, self._seq = math.inf, seq
        reply = self._respond(request)
        if reply is None or len(reply) > MAX_MESSAGE_BYTES:
            problem = "the request was refused" if reply is None else f"the reply is {len(reply)} bytes long"
            log.debug(
                "dropping the connection of %s: %s",
                self._peer,
                problem,
                extra={"event": "connection_dropped", "peer": self._peer, "problem": str(problem)},
            )
            return False
        self._linger.note_sending()
        self._stream.reply(RESULT, seq, reply, MESSAGE_TIMEOUT)
        with self._state_lock:
            self._busy, self._used_at = False, now()
            if not self._draining:
                return True
        self._send_last_reply()
        return False

    def _respond(self, request: bytes) -> bytes | None:
        try:
            return self._responder.respond(request)
        except Exception:  # a responder never raises, but one that does must not take the server down
            log.exception(
                "the responder of %s raised an exception",
                self._peer,
                extra={"event": "internal_error", "peer": self._peer},
            )
            return None
        finally:
            with self._state_lock:
                self._responding = False

    def _send_last_reply(self) -> None:
        if (reply := self._responder.last_reply()) is not None:
            self._stream.reply(RESULT, self._next_seq, reply, MESSAGE_TIMEOUT)
        self._end(reply)

    def drain(self) -> None:
        """Let no further request begin, and tell the peer so: at once, or after the reply to the present one."""
        with self._state_lock:
            before, self._draining = self._draining, True
            if not before and not self._busy:
                self._decline_next()

    @property
    def idle_time(self) -> float | None:
        """Seconds since the last request; None if one is being answered, or the peer needs this very connection."""
        if self._used_at == math.inf or self._draining or not self._responder.is_idle:
            return None
        return now() - self._used_at

    @property
    def was_used(self) -> bool:
        """Whether a request was answered after the first one, so that the peer expects that it may end."""
        return self._seq not in (self._greeting, (self._greeting - 1) & 0xFFFF)

    def make_room(self) -> bool:
        """End the connection, and tell the peer why, if its ``idle_time`` is not None."""
        with self._state_lock:
            if self.idle_time is None:
                return False
            self._draining = True
            self._decline_next(is_full=True)
            return True

    def turn_away(self) -> None:
        """Decline the first request, as the server is full. Called instead of ``start``."""
        if (reply := self._responder.last_reply(is_full=True)) is not None:
            self._stream.send_at_once(RESULT, self._next_seq, reply)
        self._stream.close()
        self.report_gone()

    def _decline_next(self, *, is_full: bool = False) -> None:
        if (reply := self._responder.last_reply(is_full=is_full)) is not None:
            self._stream.send_at_once(RESULT, self._next_seq, reply)
        self._end(reply)

    @property
    def _next_seq(self) -> int:
        return (self._seq + 1) & 0xFFFF

    def _end(self, last_reply: bytes | None) -> None:
        """Send no more; and receive no more either, if there was no last reply to be read."""
        if last_reply is None:
            self._stream.shutdown()
        else:
            self._stream.finish()
            self._linger.begin()
        self._finished.set()

    def wait_until_ended(self, deadline: Deadline) -> None:
        """Wait until the request being answered has its reply, and then until the peer has hung up or had the time to.

        Returns by the deadline. :meth:`drain` comes first.
        """
        self._finished.wait(deadline.remaining())
        if (lingers := self._linger.deadline) is not None:
            self._thread.join(lingers.or_earlier(deadline).remaining())

    def disconnect(self) -> None:
        """End the connection now. A request being answered loses its reply."""
        self._stream.shutdown()

    def check_peer(self, on_lost: Callable[[Connection], None]) -> None:
        """Call ``on_lost`` if a request is being answered and its peer has hung up, or has broken the rules by sending
        something before the reply.
        """
        with self._state_lock:
            lost = self._responding and not self._stream.is_idle()
            if lost:
                self._responding = False
        if lost:
            on_lost(self)

    def report_gone(self) -> None:
        """Tell the responder, once, that its peer is gone. Returns after that, whichever thread does it."""
        with self._gone_lock:
            if self._gone:
                return
            self._gone = True
            try:
                self._responder.gone()
            except Exception:  # one responder must not take the server down
                log.exception(
                    "the responder of %s failed to clean up",
                    self._peer,
                    extra={"event": "internal_error", "peer": self._peer},
                )

    def join(self, deadline: Deadline) -> None:
        """Wait until the thread has ended, or the deadline has passed."""
        if self._thread is not threading.current_thread():
            self._thread.join(deadline.remaining())
