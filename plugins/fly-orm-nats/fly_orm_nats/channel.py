"""A channel as its callers see it, from threads of their own."""

from __future__ import annotations

import os
import threading
from contextlib import suppress

from fly_orm.errors import NotDelivered, OutcomeUnknown
from fly_orm.transport import MAX_MESSAGE_BYTES, Deadline

from .caller_end import CallerEnd
from .connection import ConnectionLost, NatsConnection
from .exchange import Exchange


class NatsChannel:
    """A channel to one process of a node. See :class:`fly_orm.transport.Channel`."""

    def __init__(self, connection: NatsConnection, end: CallerEnd, address: str) -> None:
        self._connection, self._end, self._address = connection, end, address
        self._pid = os.getpid()
        self._closed = False
        self._in_use = threading.Lock()
        self._exchange: Exchange | None = None

    def exchange(self, request: bytes, deadline: Deadline) -> bytes:
        """The reply, NotDelivered, or OutcomeUnknown; after any exception the channel is closed."""
        if self._forked:
            raise self._not_delivered("the channel belongs to the process that this one was forked from")
        if not self._in_use.acquire(blocking=False):
            raise self._not_delivered("another caller is using the channel")
        try:
            return self._run(request, deadline)
        except BaseException:
            self.close()
            raise
        finally:
            self._exchange = None
            self._in_use.release()

    def _run(self, request: bytes, deadline: Deadline) -> bytes:
        if problem := self._problem(request, deadline):
            raise self._not_delivered(problem)
        self._exchange = exchange = Exchange()
        try:
            self._connection.call_soon(self._end.start, exchange, request)
        except ConnectionLost as error:
            raise self._not_delivered(str(error)) from error
        exchange.wait(deadline)
        if exchange.reply is not None:
            return exchange.reply
        raise (self._outcome_unknown if exchange.may_be_executed else self._not_delivered)(exchange.problem)

    def _problem(self, request: bytes, deadline: Deadline) -> str | None:
        """Why the request cannot be sent, if so."""
        if self._closed:
            return "the channel is closed"
        if self._connection.lost:
            return self._connection.reason or "the connection to NATS was lost"
        if len(request) > MAX_MESSAGE_BYTES:
            return f"it is {len(request)} bytes long, and {MAX_MESSAGE_BYTES} are allowed"
        return f"no time was left of {deadline}" if deadline.expired else self._end.closed_because or None

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
        if self._closed or self._forked:
            return
        self._closed = True
        if (exchange := self._exchange) is not None:
            exchange.fail("the channel was closed")
        with suppress(ConnectionLost):
            self._connection.call_soon(self._end.close, "the channel was closed")

    def __del__(self) -> None:
        """A channel is dropped without being closed if a signal handler interrupts its user at the wrong moment."""
        if not self._closed and not self._forked:
            self._connection.close_soon(self._end)

    @property
    def _forked(self) -> bool:
        return os.getpid() != self._pid
