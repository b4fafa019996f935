"""The connecting side: one channel is one connection."""

from __future__ import annotations

import os
import threading

from fly_orm.errors import NotDelivered, OutcomeUnknown
from fly_orm.transport import MAX_MESSAGE_BYTES, Deadline

from .addresses import Address
from .sockets import connect
from .wire import CONNECT, CONNECTED, FAILURES, HELLO, INVOKE, RESULT, Link


def open_channel(address: Address, deadline: Deadline) -> Pyro5Channel:
    """A channel on which the server has answered; NotDelivered if it has not by the deadline."""
    try:
        link = Link(connect(address, deadline))
    except FAILURES as error:
        raise NotDelivered(f"cannot connect to {address} within {deadline}: {error}", address=str(address)) from error
    try:
        _greet(link, deadline)
    except FAILURES as error:
        link.close()
        raise NotDelivered(
            f"{address} accepted the connection but did not answer as a fly_orm node within {deadline}: {error};"
            " it may be full, closing, of another version, or something else altogether",
            address=str(address),
        ) from error
    except BaseException:
        link.close()
        raise
    return Pyro5Channel(link, str(address))


def _greet(link: Link, deadline: Deadline) -> None:
    link.send(CONNECT, 0, HELLO, deadline)
    link.receive(CONNECTED, len(HELLO), deadline)


class Pyro5Channel:
    """A connection to one server process. See :class:`fly_orm.transport.Channel`."""

    def __init__(self, link: Link, address: str) -> None:
        self._link = link
        self._address = address
        self._seq = 0
        self._pid = os.getpid()
        self._closed = False
        self._in_use = threading.Lock()

    def exchange(self, request: bytes, deadline: Deadline) -> bytes:
        """The reply, NotDelivered, or OutcomeUnknown; after any exception the connection is closed."""
        if self._forked:
            raise self._not_delivered("the channel belongs to the process that this one was forked from")
        if not self._in_use.acquire(blocking=False):
            raise self._not_delivered("the channel is in use by another caller")
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
        if problem := self._problem(request):
            raise self._not_delivered(problem)
        self._seq = (self._seq + 1) & 0xFFFF
        try:
            self._link.send(INVOKE, self._seq, request, deadline)
        except FAILURES as error:
            problem = f"sending failed: {error} (time limit: {deadline})"
            raise (self._outcome_unknown if self._link.may_be_sent else self._not_delivered)(problem) from error

    def _receive(self, deadline: Deadline) -> bytes:
        try:
            seq, reply = self._link.receive(RESULT, MAX_MESSAGE_BYTES, deadline)
        except FAILURES as error:
            raise self._outcome_unknown(f"{error} (time limit: {deadline})") from error
        if seq != self._seq:
            raise self._outcome_unknown("the reply belongs to another request")
        return reply

    def _problem(self, request: bytes) -> str | None:
        """Why the request cannot be sent, if so."""
        if self._closed:
            return "the channel is closed"
        if len(request) > MAX_MESSAGE_BYTES:
            return f"it has {len(request)} bytes, and {MAX_MESSAGE_BYTES} are allowed"
        return None if self._link.quiet() else "the connection has been closed by the node or the network"

    def _not_delivered(self, problem: str) -> NotDelivered:
        return NotDelivered(f"the request was not sent to {self._address}: {problem}", address=self._address)

    def _outcome_unknown(self, problem: str) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"the request was sent to {self._address} and may have executed, but no reply came: {problem}",
            address=self._address,
        )

    def close(self) -> None:
        """See :meth:`fly_orm.transport.Channel.close`. An exchange under way on another thread ends at once."""
        self._closed = True
        if self._forked:
            self._link.abandon()
        elif self._in_use.acquire(blocking=False):
            self._link.close()
            self._in_use.release()
        else:
            # The thread in exchange wakes up and closes the socket; closed under its feet, the number may be reused.
            self._link.shutdown()

    @property
    def _forked(self) -> bool:
        return os.getpid() != self._pid
