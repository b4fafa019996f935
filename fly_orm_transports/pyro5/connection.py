"""The accepting side of one connection: a thread that answers one request after the other."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from fly_orm.transport import (
    MAX_MESSAGE_BYTES,
    STRANGER_MAX_MESSAGE_BYTES,
    STRANGER_TIMEOUT,
    Accept,
    Deadline,
    Responder,
)

from .roster import Roster
from .wire import CONNECT, CONNECTED, FAILURES, HELLO, INVOKE, RESULT, Link

log = logging.getLogger(__name__)

#: A message that has begun must be complete after so many seconds, in either direction.
MESSAGE_TIMEOUT = 30.0


class Connection:
    """One accepted connection and its thread. A stranger's is limited in time and size until it is trusted."""

    def __init__(self, link: Link, peer: str, accept: Accept, roster: Roster[Connection]) -> None:
        self._link = link
        self._peer = peer
        self._accept = accept
        self._roster = roster
        self._stranger_deadline = Deadline.after(STRANGER_TIMEOUT)
        self._responder: Responder | None = None
        self._trusted = False
        self._gone = False
        self._gone_lock = threading.Lock()
        self._state_lock = threading.Lock()
        self._busy = self._responding = self._draining = False
        self._thread = threading.Thread(target=self._run, name=f"fly-orm-pyro5 {peer}", daemon=True)

    def start(self) -> None:
        """The thread runs; RuntimeError if the system grants no more threads."""
        self._thread.start()

    def _run(self) -> None:
        try:
            self._greet()
            while self._answer_one():
                pass
        except FAILURES as error:
            log.debug("connection of %s ended: %s", self._peer, error)
        except BaseException:  # the server's edge: nobody is above this thread
            log.exception("connection of %s broke", self._peer)
        finally:
            self.report_gone()
            self._link.close()
            self._roster.leave(self)

    def _greet(self) -> None:
        _, hello = self._link.receive(CONNECT, len(HELLO), self._stranger_deadline)
        if hello != HELLO:
            raise ConnectionAbortedError("the peer does not speak this version")
        self._responder = self._accept(self._peer)
        self._notice_trust()
        self._link.send(CONNECTED, 0, HELLO, self._stranger_deadline)

    def _answer_one(self) -> bool:
        """Whether the connection goes on after one more request."""
        seq, request = self._receive()
        if not self._begin():
            return False
        reply = self._respond(request)
        if reply is None or len(reply) > MAX_MESSAGE_BYTES:
            log.debug("dropping %s: %s", self._peer, "refused" if reply is None else f"{len(reply)} bytes of reply")
            return False
        self._notice_trust()
        self._link.send(RESULT, seq, reply, self._message_deadline())
        return self._finish()

    def _receive(self) -> tuple[int, bytes]:
        if self._trusted:
            self._link.wait()
        max_bytes = MAX_MESSAGE_BYTES if self._trusted else STRANGER_MAX_MESSAGE_BYTES
        return self._link.receive(INVOKE, max_bytes, self._message_deadline())

    def _message_deadline(self) -> Deadline:
        return Deadline.after(MESSAGE_TIMEOUT) if self._trusted else self._stranger_deadline

    def _respond(self, request: bytes) -> bytes | None:
        assert self._responder is not None  # noqa: S101 - _greet has set it
        try:
            return self._responder.respond(request)
        except Exception:  # the server's edge; it has promised not to raise
            log.exception("the responder of %s broke", self._peer)
            return None
        finally:
            with self._state_lock:
                self._responding = False

    def _notice_trust(self) -> None:
        if not self._trusted and self._responder is not None and self._responder.trusted:
            self._trusted = True
            self._roster.trust(self)

    def _begin(self) -> bool:
        """Whether the request may be answered; a server that is closing lets it lie."""
        with self._state_lock:
            self._busy = self._responding = not self._draining
            return self._busy

    def _finish(self) -> bool:
        with self._state_lock:
            self._busy = False
            return not self._draining

    def drain(self) -> None:
        """The connection ends: at once if it is idle, else when the request being answered has its reply."""
        with self._state_lock:
            self._draining = True
            if not self._busy:
                self._link.shutdown()

    def disconnect(self) -> None:
        """The connection ends now; a request being answered loses its reply."""
        self._link.shutdown()

    def notice_peer(self, on_lost: Callable[[Connection], None]) -> None:
        """``on_lost`` is called if the peer has gone, or breaks the rules by sending more, during ``respond``."""
        with self._state_lock:
            lost = self._responding and not self._link.quiet()
            if lost:
                self._responding = False
        if lost:
            on_lost(self)

    def report_gone(self) -> None:
        """The responder knows that its peer is gone: it is told once, and whoever else calls waits for that."""
        with self._gone_lock:
            if self._gone or self._responder is None:
                return
            self._gone = True
            try:
                self._responder.gone()
            except Exception:  # the server's edge
                log.exception("the responder of %s failed to let go", self._peer)

    def join(self, deadline: Deadline) -> None:
        """The thread has ended, or the deadline has passed."""
        if self._thread is not threading.current_thread():
            self._thread.join(deadline.remaining())
