"""The connecting side: one channel is one connection."""

from __future__ import annotations

import os
import threading

from fly_orm.errors import NotDelivered, OutcomeUnknown
from fly_orm.protocol.tls import Tls
from fly_orm.transport import MAX_MESSAGE_BYTES, Deadline

from .addresses import Address
from .sockets import connect
from .wire import CONNECT, CONNECTED, FAILURES, HELLO, INVOKE, RESULT, MessageStream

_NO_NODE = "accepted the connection but did not answer as a fly_orm node"
_WHY = (
    "it may be full, shutting down, another version of fly_orm, or another program, or it may use TLS, for which "
    "FLY_ORM_TLS_CERT, FLY_ORM_TLS_KEY and FLY_ORM_TLS_CA must be set"
)


def open_channel(address: Address, deadline: Deadline, tls: Tls | None = None) -> Pyro5Channel:
    """A channel over which the greeting has been sent; NotDelivered if nothing accepts it by the deadline.

    The first exchange waits for the answer to the greeting, so that the two take one round trip together.
    """
    sock = None
    try:
        sock = connect(address, deadline)
        stream = MessageStream(sock if tls is None else tls.connect(sock, deadline), polls=True)
    except FAILURES as error:
        raise NotDelivered(
            f"cannot connect to {address} within {deadline}: {error}", address=str(address), accepted=sock is not None
        ) from error
    try:
        stream.send(CONNECT, 0, HELLO, deadline)
    except FAILURES as error:
        stream.close()
        raise NotDelivered(
            f"{address} {_NO_NODE} within {deadline}: {error}; {_WHY}", address=str(address), accepted=True
        ) from error
    except BaseException:
        stream.close()
        raise
    return Pyro5Channel(stream, str(address))


class Pyro5Channel:
    """A connection to one server process. See :class:`fly_orm.transport.Channel`."""

    def __init__(self, stream: MessageStream, address: str) -> None:
        self._stream = stream
        self._address = address
        self._seq = 0
        self._pid = os.getpid()
        self._closed = False
        self._is_greeted = False
        """Whether the server has answered the greeting."""
        self._in_use = threading.Lock()

    def exchange(self, request: bytes, deadline: Deadline) -> bytes:
        """The reply, NotDelivered, or OutcomeUnknown; after any exception the connection is closed."""
        if self._forked:
            raise self._not_delivered("the channel belongs to the process that this one was forked from")
        if not self._in_use.acquire(blocking=False):
            raise self._not_delivered("another caller is using the channel")
        try:
            self._send(request, deadline)
            return self._receive(deadline)
        except BaseException:
            self._closed = True
            raise
        finally:
            self._in_use.release()
            if self._closed:
                self.close()

    def _send(self, request: bytes, deadline: Deadline) -> None:
        if problem := self._problem(request, deadline):
            raise self._not_delivered(problem)
        self._seq = (self._seq + 1) & 0xFFFF
        try:
            self._stream.send(INVOKE, self._seq, request, deadline)
        except FAILURES as error:
            if self._stream.may_be_sent and isinstance(error, ConnectionError):
                return  # a node that has closed the connection may have said before that it does not execute this
            problem = f"sending failed: {error} (time limit: {deadline})"
            raise (self._outcome_unknown if self._stream.may_be_sent else self._not_delivered)(problem) from error

    def _receive(self, deadline: Deadline) -> bytes:
        try:
            if not self._is_greeted:
                self._receive_greeting(deadline)
        except FAILURES as error:
            raise self._outcome_unknown(str(error)) from error
        try:
            seq, reply = self._stream.receive(RESULT, MAX_MESSAGE_BYTES, deadline)
        except FAILURES as error:
            raise self._outcome_unknown(f"{error} (time limit: {deadline})") from error
        if seq != self._seq:
            raise self._outcome_unknown("the reply belongs to another request")
        return reply

    def _receive_greeting(self, deadline: Deadline) -> None:
        """Receive the answer to the greeting, unless that has been done; what ``FAILURES`` lists if there is none."""
        if not self._is_greeted:
            try:
                self._stream.receive(CONNECTED, len(HELLO), deadline)
            except FAILURES as error:
                raise ConnectionAbortedError(f"it {_NO_NODE} within {deadline}: {error}; {_WHY}") from error
            self._is_greeted = True

    def _problem(self, request: bytes, deadline: Deadline) -> str | None:
        """Why the request cannot be sent, if so."""
        if self._closed:
            return "the channel is closed"
        if len(request) > MAX_MESSAGE_BYTES:
            return f"it is {len(request)} bytes long, and {MAX_MESSAGE_BYTES} are allowed"
        # A node that was restarted while the channel was idle is noticed here, and costs no unknown outcome.
        if self._stream.is_idle():
            return None
        if self._is_greeted:
            return "the node or the network has closed the connection"
        try:
            self._receive_greeting(deadline)  # since something has arrived
        except FAILURES as error:
            return str(error)
        return self._problem(request, deadline)

    def _not_delivered(self, problem: str) -> NotDelivered:
        return NotDelivered(f"the request was not sent to {self._address}: {problem}", address=self._address)

    def _outcome_unknown(self, problem: str) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"the request was sent to {self._address} and may have been executed, but no reply came: {problem}",
            address=self._address,
            problem=problem,
        )

    def close(self) -> None:
        """See :meth:`fly_orm.transport.Channel.close`. An exchange in progress on another thread ends at once."""
        self._closed = True
        if self._forked:
            self._stream.abandon()
        elif self._in_use.acquire(blocking=False):
            self._stream.close()
            self._in_use.release()
        else:
            # The thread in exchange() wakes up and closes the socket. If this one did, the system might give the file
            # descriptor to another connection while that thread still reads from it.
            self._stream.shutdown()

    @property
    def _forked(self) -> bool:
        return os.getpid() != self._pid
