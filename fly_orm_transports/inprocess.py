"""Channels between the parts of one process, by name: for tests, and to try everything out without a network."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from fly_orm.deadline import Deadline
from fly_orm.errors import ConfigurationError, NotDelivered, OutcomeUnknown
from fly_orm.transport import MAX_MESSAGE_BYTES, STRANGER_MAX_MESSAGE_BYTES, Accept, Responder

from .forks import abandon_in_children

log = logging.getLogger(__name__)

_servers: dict[str, InProcessServer] = {}


class InProcessTransport:
    """Channels within this process. An address is any name; all instances share the names. Any thread may call."""

    def connect(self, address: str, deadline: Deadline) -> InProcessChannel:
        """See :meth:`fly_orm.transport.Transport.connect`."""
        _check_name(address)
        server = _servers.get(address)
        if server is None or deadline.expired:
            problem = "nothing here serves that name" if server is None else f"no time was left of {deadline}"
            raise NotDelivered(f"cannot connect to {address!r}: {problem}", address=address)
        return server.open()

    def serve(self, listen: str, accept: Accept) -> InProcessServer:
        """See :meth:`fly_orm.transport.Transport.serve`. The name is free again when the server is closed."""
        _check_name(listen)
        server = InProcessServer(listen, accept)
        if _servers.setdefault(listen, server) is not server:
            raise ConfigurationError(f"{listen!r} is served already: close that server or choose another name")
        abandon_in_children(server)
        return server

    def is_local(self, address: str) -> bool:
        """True: nothing outside this process can connect."""
        return True


def _check_name(name: str) -> None:
    if not name:
        raise ConfigurationError("the address of an in-process server is a name, and it must not be empty")


class InProcessServer:
    """A name that can be connected to. See :class:`fly_orm.transport.Server`."""

    def __init__(self, name: str, accept: Accept) -> None:
        self._name = name
        self._accept = accept
        self._lock = threading.Lock()
        self._closed = False
        self._channels: dict[InProcessChannel, None] = {}

    @property
    def address(self) -> str:
        """The name."""
        return self._name

    def open(self) -> InProcessChannel:
        """A new channel; NotDelivered if the server is closed."""
        channel = InProcessChannel(self._name, self._accept(f"in-process {self._name}"), self._forget)
        with self._lock:
            self._channels[channel] = None
            closed = self._closed
        if closed:
            channel.close()
            raise NotDelivered(f"cannot connect to {self._name!r}: its server is closed", address=self._name)
        return channel

    def _forget(self, channel: InProcessChannel) -> None:
        self._channels.pop(channel, None)

    def close(self, drain_timeout: float) -> None:
        """See :meth:`fly_orm.transport.Server.close`."""
        deadline = Deadline.after(drain_timeout)
        with self._lock:
            self._closed = True
            channels = list(self._channels)
            for channel in channels:
                channel.drain()
        if _servers.get(self._name) is self:
            del _servers[self._name]
        for channel in channels:
            channel.finish(deadline)

    def abandon(self) -> None:
        """In this forked process, which has no part in what the server serves, nothing has that name."""
        self._lock = threading.Lock()
        self._channels = {}
        _servers.pop(self._name, None)


class InProcessChannel:
    """Both ends of a channel. Each request is answered on a thread of its own, so that its caller can time out."""

    def __init__(self, name: str, responder: Responder, forget: Callable[[InProcessChannel], None]) -> None:
        self._name = name
        self._responder = responder
        self._forget = forget
        self._state = threading.Condition()
        self._closed = self._draining = self._busy = self._gone = False
        self._in_use, self._gone_lock = threading.Lock(), threading.Lock()
        self._replies: SimpleQueue[bytes | None] = SimpleQueue()
        abandon_in_children(self)

    def exchange(self, request: bytes, deadline: Deadline) -> bytes:
        """The reply, NotDelivered, or OutcomeUnknown; after any exception the channel is closed."""
        if not self._in_use.acquire(blocking=False):
            raise self._not_delivered("the channel is in use by another caller")
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
            worker = threading.Thread(
                target=self._answer, args=(request, self._replies), name=f"fly-orm {self._name}", daemon=True
            )
            self._busy = True
            worker.start()

    def _problem(self, request: bytes, deadline: Deadline) -> str | None:
        if self._closed or self._draining:
            return "the channel is closed"
        if len(request) > MAX_MESSAGE_BYTES:
            return f"it has {len(request)} bytes, and {MAX_MESSAGE_BYTES} are allowed"
        return f"no time was left of {deadline}" if deadline.expired else None

    def _answer(self, request: bytes, replies: SimpleQueue[bytes | None]) -> None:
        reply = self._respond(request)
        with self._state:
            replies.put(reply)
            self._busy = False
            self._state.notify_all()

    def _respond(self, request: bytes) -> bytes | None:
        try:
            if len(request) > STRANGER_MAX_MESSAGE_BYTES and not self._responder.trusted:
                return None
            return self._responder.respond(request)
        except BaseException:  # the server's edge: nobody is above this thread
            log.exception("the responder of %s broke", self._name)
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
            raise self._outcome_unknown(f"it has {len(reply)} bytes, and {MAX_MESSAGE_BYTES} are allowed")
        return reply

    def _not_delivered(self, problem: str) -> NotDelivered:
        return NotDelivered(f"the request was not sent to {self._name!r}: {problem}", address=self._name)

    def _outcome_unknown(self, problem: str) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"the request was sent to {self._name!r} and may have executed, but no reply came: {problem}",
            address=self._name,
        )

    def close(self) -> None:
        """See :meth:`fly_orm.transport.Channel.close`. An exchange under way on another thread ends at once."""
        with self._state:
            self._closed = True
            self._replies.put(None)
        self._report_gone()
        self._forget(self)

    def _report_gone(self) -> None:
        with self._gone_lock:
            if not self._gone:
                self._gone = True
                self._responder.gone()

    def drain(self) -> None:
        """No further request is taken."""
        with self._state:
            self._draining = True

    def finish(self, deadline: Deadline) -> None:
        """The request being answered has its reply, or the deadline has passed; then the channel is closed."""
        with self._state:
            self._state.wait_for(lambda: not self._busy, deadline.remaining())
        self.close()

    def abandon(self) -> None:
        """The channel is closed in this forked process; its responder stays with the parent."""
        self._state, self._in_use, self._gone_lock = threading.Condition(), threading.Lock(), threading.Lock()
        self._closed = self._gone = True
