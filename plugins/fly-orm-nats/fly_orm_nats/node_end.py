"""A node's end of a channel, and the thread that answers one request after the other."""

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

from .connection import ConnectionLost, NatsConnection
from .frames import Assembly, Frame, Kind, MalformedMessage
from .outgoing import OutgoingMessage

log = logging.getLogger(__name__)

#: Seconds within which a request must have arrived once it has begun, and within which a reply must have been sent.
MESSAGE_TIMEOUT = 30.0


class NodeEnd:
    """Takes requests and sends their replies. Until the peer is trusted, the limits for strangers apply to it.

    Its state belongs to the connection's thread; the responder is called in a thread of this channel's own.
    """

    def __init__(
        self, connection: NatsConnection, peer: str, channel: bytes, accept: Accept, on_end: Callable[[NodeEnd], None]
    ) -> None:
        self.trusted = False
        self.ended = False
        self._connection, self._peer, self._channel = connection, peer, channel
        self._accept, self._on_end = accept, on_end
        self._assembly = Assembly()
        self._seq = 0
        self._requests: SimpleQueue[tuple[int, bytes] | None] = SimpleQueue()
        self._reply: OutgoingMessage | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._busy = self._draining = False
        self._responding = False
        self._responder: Responder | None = None
        self._gone = False
        self._gone_lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"fly-orm nats {peer}", daemon=True)

    def start(self) -> None:
        """Open the channel; RuntimeError if the system grants no more threads."""
        self._thread.start()
        self._connection.peers.attach(self._peer, True, self._channel, self)
        self._set_timer(STRANGER_TIMEOUT, "the peer did not prove in time that it holds the secret")

    # In the connection's thread

    def receive(self, frame: Frame) -> None:
        match frame.kind:
            case Kind.REQUEST:
                self._receive_request(frame)
            case Kind.REPLY_ACK if self._reply is not None:
                self._reply.acknowledge(frame.seq, frame.total)
            case Kind.CLOSED_BY_CALLER:
                self.end("the peer closed the channel")

    def request_undelivered(self, seq: int) -> None:
        """Do nothing: a node sends no requests."""

    def _receive_request(self, frame: Frame) -> None:
        if self._draining and not self._busy:
            self._connection.send_soon(self._peer, Frame(Kind.NO_CHANNEL, self._channel, frame.seq))
            return
        if self._busy or frame.seq != self._seq + 1:
            self.close("the peer sent a request before the last one was answered")
            return
        if self.trusted and frame.offset == 0:
            self._set_timer(MESSAGE_TIMEOUT, "the request did not arrive in time")
        try:
            request = self._assembly.add(frame, MAX_MESSAGE_BYTES if self.trusted else STRANGER_MAX_MESSAGE_BYTES)
        except MalformedMessage as error:
            self.close(f"the request cannot be used: {error}")
            return
        if size := self._assembly.bytes_to_acknowledge():
            self._connection.send_soon(self._peer, Frame(Kind.REQUEST_ACK, self._channel, frame.seq, size))
        if request is not None:
            self._seq = frame.seq
            self._busy = self._responding = True
            if self.trusted:
                self._cancel_timer()
            self._requests.put((frame.seq, request))

    def _answer(self, seq: int, reply: bytes, trusted: bool) -> None:
        if self.ended:
            return
        if trusted and not self.trusted:
            self.trusted = True
        if trusted:
            self._set_timer(MESSAGE_TIMEOUT, "the peer did not take the reply in time")
        self._reply = OutgoingMessage(self._connection, self._peer, Kind.REPLY, self._channel, seq, reply)
        self._task = self._connection.create_task(self._send, self._reply)

    async def _send(self, reply: OutgoingMessage) -> None:
        await reply.send(self._finish)
        if self._draining:
            self.close("the server is closing")

    def _finish(self) -> bool:
        """Let the next request come, since the last part of the reply is about to be sent."""
        self._reply = None
        self._busy = False
        if self.trusted:
            self._cancel_timer()
        return True

    def _set_timer(self, seconds: float, reason: str) -> None:
        self._cancel_timer()
        self._timer = self._connection.call_later(seconds, lambda: self.close(reason))

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def drain(self) -> None:
        """Close the channel: at once if it is idle, else when the request being answered has its reply."""
        self._draining = True
        if not self._busy:
            self.close("the server is closing")

    def close(self, reason: str) -> None:
        """End the channel, and tell the peer."""
        if not self.ended:
            self._connection.send_soon(self._peer, Frame(Kind.CLOSED_BY_NODE, self._channel, self._seq + 1))
            self.end(reason)

    def end(self, reason: str) -> None:
        if self.ended:
            return
        log.debug(
            "the channel of %s ended: %s",
            self._peer,
            reason,
            extra={"event": "connection_ended", "peer": self._peer, "problem": str(reason)},
        )
        self.ended = True
        self._cancel_timer()
        self._connection.peers.detach(self._peer, True, self._channel)
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        if self._reply is not None:
            self._reply.stop()
        self._requests.put(None)
        if self._responding:
            # On a thread of its own: what the responder does then, such as cancelling SQL, must not delay the others.
            try:
                threading.Thread(target=self.report_gone, name="fly-orm nats gone", daemon=True).start()
            except RuntimeError:  # the system grants no more threads
                self.report_gone()

    # In the channel's own thread

    def _run(self) -> None:
        try:
            self._responder = self._accept(f"nats {self._peer}")
            self.trusted = self._responder.trusted
            self._connection.call_soon(self._opened)
            while (item := self._requests.get()) is not None:
                if self.ended or not self._respond(*item):
                    break
        except ConnectionLost:
            pass
        except BaseException:  # nothing above this thread would report it
            log.exception("the channel of %s failed", self._peer, extra={"event": "internal_error", "peer": self._peer})
        finally:
            self.report_gone()
            with suppress(ConnectionLost):
                self._connection.call_soon(self.close, "its thread has ended")
            self._on_end(self)

    def _opened(self) -> None:
        if self.trusted:
            self._cancel_timer()
        self._connection.send_soon(self._peer, Frame(Kind.OPENED, self._channel))

    def _respond(self, seq: int, request: bytes) -> bool:
        """Answer one request; whether the channel stays open for another."""
        assert self._responder is not None  # noqa: S101 - the thread began with it
        try:
            reply = self._responder.respond(request)
        finally:
            self._responding = False
        if reply is None or len(reply) > MAX_MESSAGE_BYTES:
            problem = "the request was refused" if reply is None else f"the reply is {len(reply)} bytes long"
            log.debug(
                "dropping the channel of %s: %s",
                self._peer,
                problem,
                extra={"event": "connection_dropped", "peer": self._peer, "problem": str(problem)},
            )
            return False
        self._connection.call_soon(self._answer, seq, reply, self._responder.trusted)
        return True

    # In any thread

    def disconnect(self) -> None:
        """Close the channel now. A request being answered loses its reply."""
        with suppress(ConnectionLost):
            self._connection.call_soon(self.close, "the server is closing")

    def report_gone(self) -> None:
        """Tell the responder, once, that its peer is gone. Returns after that, whichever thread does it."""
        with self._gone_lock:
            if self._gone or self._responder is None:
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
        self._thread.join(deadline.remaining())
