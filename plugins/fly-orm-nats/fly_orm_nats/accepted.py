"""The accepting side of one channel: a thread that answers one request after the other."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue

from fly_orm.transport import (
    MAX_MESSAGE_BYTES,
    STRANGER_MAX_MESSAGE_BYTES,
    STRANGER_TIMEOUT,
    Accept,
    Deadline,
    Responder,
)

from .frames import Assembly, Broken, Frame, Kind
from .link import Link, LinkDown
from .sending import Sending

log = logging.getLogger(__name__)

#: A reply must have been sent after so many seconds, and a request have come in.
MESSAGE_TIMEOUT = 30.0


class Accepted:
    """A node's end of a channel. A stranger's is limited in time and size until it is trusted.

    Its state belongs to the link's thread; the responder is called in a thread of its own.
    """

    def __init__(
        self, link: Link, peer: str, channel: bytes, accept: Accept, on_end: Callable[[Accepted], None]
    ) -> None:
        self.trusted = False
        self.over = False
        self._link, self._peer, self._channel = link, peer, channel
        self._accept, self._on_end = accept, on_end
        self._assembly = Assembly()
        self._seq = 0
        self._requests: SimpleQueue[tuple[int, bytes] | None] = SimpleQueue()
        self._sending: Sending | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._busy = self._draining = False
        self._responding = False
        self._responder: Responder | None = None
        self._gone = False
        self._gone_lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"fly-orm nats {peer}", daemon=True)

    def start(self) -> None:
        """It is answered to the peer that the channel is open; RuntimeError if the system grants no more threads."""
        self._thread.start()
        self._link.peers.attach(self._peer, True, self._channel, self)
        self._limit(STRANGER_TIMEOUT, "it has not proven itself in time")

    # In the link's thread

    def take(self, frame: Frame) -> None:
        match frame.kind:
            case Kind.REQUEST:
                self._take_request(frame)
            case Kind.REPLY_ACK if self._sending is not None:
                self._sending.acknowledge(frame.seq, frame.total)
            case Kind.CLOSED_BY_CALLER:
                self.lost("the peer closed the channel")

    def undelivered(self, seq: int) -> None:
        """Nothing: only requests are answered so."""

    def _take_request(self, frame: Frame) -> None:
        if self._draining and not self._busy:
            self._link.tell(self._peer, Frame(Kind.NO_CHANNEL, self._channel, frame.seq))
            return
        if self._busy or frame.seq != self._seq + 1:
            self.drop("it sent a request before the last one was answered")
            return
        if self.trusted and frame.offset == 0:
            self._limit(MESSAGE_TIMEOUT, "its request did not come in time")
        try:
            request = self._assembly.add(frame, MAX_MESSAGE_BYTES if self.trusted else STRANGER_MAX_MESSAGE_BYTES)
        except Broken as error:
            self.drop(f"its request cannot be taken: {error}")
            return
        if size := self._assembly.due():
            self._link.tell(self._peer, Frame(Kind.REQUEST_ACK, self._channel, frame.seq, size))
        if request is not None:
            self._seq = frame.seq
            self._busy = self._responding = True
            if self.trusted:
                self._unlimit()
            self._requests.put((frame.seq, request))

    def _answer(self, seq: int, reply: bytes, trusted: bool) -> None:
        if self.over:
            return
        if trusted and not self.trusted:
            self.trusted = True
        if trusted:
            self._limit(MESSAGE_TIMEOUT, "it did not take its reply in time")
        self._sending = Sending(self._link, self._peer, Kind.REPLY, self._channel, seq, reply)
        self._task = self._link.spawn(self._send, self._sending)

    async def _send(self, sending: Sending) -> None:
        await sending.run(self._finish)
        if self._draining:
            self.drop("the server is closing")

    def _finish(self) -> bool:
        """The last part of the reply is about to be sent, so that the next request may come."""
        self._sending = None
        self._busy = False
        if self.trusted:
            self._unlimit()
        return True

    def _limit(self, seconds: float, why: str) -> None:
        self._unlimit()
        self._timer = self._link.call_later(seconds, lambda: self.drop(why))

    def _unlimit(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def drain(self) -> None:
        """The channel ends: at once if it is idle, else when the request being answered has its reply."""
        self._draining = True
        if not self._busy:
            self.drop("the server is closing")

    def drop(self, why: str) -> None:
        """The channel is over, and the peer is told."""
        if not self.over:
            if not self._link.ended:
                self._link.tell(self._peer, Frame(Kind.CLOSED_BY_NODE, self._channel))
            self.lost(why)

    def lost(self, why: str) -> None:
        if self.over:
            return
        log.debug("channel of %s ended: %s", self._peer, why)
        self.over = True
        self._unlimit()
        self._link.peers.detach(self._peer, True, self._channel)
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        if self._sending is not None:
            self._sending.abandon()
        self._requests.put(None)
        if self._responding:
            # On a thread of its own: what the responder does then, such as cancelling SQL, must not delay the others.
            try:
                threading.Thread(target=self.report_gone, name="fly-orm nats gone", daemon=True).start()
            except RuntimeError:  # no more threads to be had
                self.report_gone()

    # In its own

    def _run(self) -> None:
        try:
            self._responder = self._accept(f"nats {self._peer}")
            self.trusted = self._responder.trusted
            self._link.post(self._opened)
            while (item := self._requests.get()) is not None:
                if self.over or not self._respond(*item):
                    break
        except LinkDown:
            pass
        except BaseException:  # the server's edge: nobody is above this thread
            log.exception("channel of %s broke", self._peer)
        finally:
            self.report_gone()
            with suppress(LinkDown):
                self._link.post(self.drop, "it is not answered any more")
            self._on_end(self)

    def _opened(self) -> None:
        if self.trusted:
            self._unlimit()
        self._link.tell(self._peer, Frame(Kind.OPENED, self._channel))

    def _respond(self, seq: int, request: bytes) -> bool:
        """Whether the channel goes on after one more request."""
        assert self._responder is not None  # noqa: S101 - the thread began with it
        try:
            reply = self._responder.respond(request)
        finally:
            self._responding = False
        if reply is None or len(reply) > MAX_MESSAGE_BYTES:
            log.debug("dropping %s: %s", self._peer, "refused" if reply is None else f"{len(reply)} bytes of reply")
            return False
        self._link.post(self._answer, seq, reply, self._responder.trusted)
        return True

    # In any

    def disconnect(self) -> None:
        """The channel ends now; a request being answered loses its reply."""
        with suppress(LinkDown):
            self._link.post(self.drop, "the server is closing")

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
        self._thread.join(deadline.remaining())
