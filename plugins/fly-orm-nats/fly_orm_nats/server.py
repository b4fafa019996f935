"""The accepting side: serves a name, over one connection to NATS after the other."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from fly_orm.errors import ConfigurationError
from fly_orm.transport import Accept, Bell, Deadline, Latch

from .connection import ConnectionLost, NatsConnection
from .connector import FAILURES, Unreachable
from .frames import VERSION, Frame, Kind, decode
from .job import NotInTime
from .limits import Limits
from .node_end import MESSAGE_TIMEOUT, NodeEnd
from .subjects import QUEUE, Address, app_of, is_id, new_id, node_subject, only_subject, who_subject

log = logging.getLogger(__name__)

#: Seconds that listening may take.
LISTEN_TIMEOUT = 5.0
#: Seconds to pause before listening again after the connection to NATS was lost: at first, and at most.
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
#: Seconds to wait for the threads of channels whose responders know that the peer is gone.
_JOIN_TIMEOUT = 2.0


class NatsServer:
    """A name that clients can connect to. See :class:`fly_orm.transport.Server`."""

    def __init__(
        self, address: Address, accept: Accept, get_connection: Callable[[Deadline], NatsConnection], limits: Limits
    ) -> None:
        self._id = new_id()
        self._address = address
        self._accept = accept
        self._get_connection = get_connection
        self._limits = limits
        self._pid = os.getpid()
        self._connection: NatsConnection | None = None
        self._subscriptions: list[Subscription] = []
        self._channels: dict[NodeEnd, None] = {}
        """The channels whose threads have not ended."""
        self._lost, self._closing = Bell(), Latch()
        self._declining = False
        """Whether new channels are declined. Idle channels have ended by then, which a declined caller may rely on."""
        self._close_lock = threading.Lock()
        self._thread = threading.Thread(target=self._listen_again, name=f"fly-orm nats {address}", daemon=True)

    @property
    def address(self) -> str:
        """The address as it was given."""
        return str(self._address)

    def start(self) -> None:
        """Serve the name; ConfigurationError if NATS cannot be reached, or does not permit it."""
        try:
            self._listen()
        except (Unreachable, ConnectionLost) as error:
            raise ConfigurationError(f"cannot serve {self._address}: {error}", address=self.address) from error
        self._thread.start()

    def _listen(self) -> None:
        deadline = Deadline.after(LISTEN_TIMEOUT)
        connection = self._get_connection(deadline)
        subscribing = connection.job(self._subscribe)
        try:
            subscribing.result(Deadline.after(LISTEN_TIMEOUT))
        except (NotInTime, *FAILURES) as error:
            subscribing.cancel()
            raise Unreachable(f"subscribing failed: {error or type(error).__name__}") from error

    async def _subscribe(self, connection: NatsConnection) -> None:
        name = self._address.name
        earlier = list(connection.permission_errors)
        channel_subjects = [(node_subject(name), QUEUE), (only_subject(self._id), "")]
        wanted = [(subject, queue, self._on_open) for subject, queue in channel_subjects]
        self._connection, self._subscriptions = connection, []
        connection.listeners.add(self)
        try:
            for subject, queue, callback in [*wanted, (who_subject(app_of(name)), "", self._on_who)]:
                self._subscriptions.append(await connection.client.subscribe(subject, queue, callback))
            await connection.flush()
            for problem in connection.permission_errors[len(earlier) :]:
                raise Unreachable(problem)
        except BaseException:
            await self._unsubscribe(connection)
            raise

    async def _unsubscribe(self, connection: NatsConnection) -> None:
        connection.listeners.discard(self)
        for subscription in self._subscriptions:
            with suppress(*FAILURES):
                await subscription.unsubscribe()

    def connection_lost(self) -> None:
        self._lost.ring()

    def _listen_again(self) -> None:
        """Listen again whenever the connection has been lost, until the server is closed."""
        pause = FIRST_PAUSE
        while True:
            self._lost.wait()
            if self._closing.is_set():
                return
            try:
                self._listen()
            except Exception as error:  # noqa: BLE001  # also one of the system: no other thread tries again
                if pause == FIRST_PAUSE:
                    log.warning(
                        "%s is not served until NATS can be reached again: %s",
                        self._address,
                        error,
                        extra={"event": "address_not_served", "address": self._address, "problem": str(error)},
                    )
                self._closing.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                self._lost.ring()
            else:
                log.info(
                    "%s is served again",
                    self._address,
                    extra={"event": "address_served_again", "address": self._address},
                )
                pause = FIRST_PAUSE

    # In the connection's thread

    async def _on_open(self, message: Msg) -> None:
        frame, connection = decode(message.data), self._connection
        if frame is None or frame.kind is not Kind.OPEN or connection is None:
            return
        version, _, peer = frame.data.partition(b" ")
        if version != VERSION or not is_id(sender := peer.decode("ascii", "replace")):
            return
        problem = self._admit(connection, sender, frame.channel)
        if problem:
            connection.send_soon(sender, Frame(Kind.BUSY, frame.channel, data=problem.encode()))

    def _admit(self, connection: NatsConnection, peer: str, channel: bytes) -> str:
        """Open a channel; returns why not, if so.

        One stranger too many displaces the oldest one. An honest peer is a stranger for a round trip or two only, so
        idle strangers cannot keep it out by taking all the places.
        """
        if self._declining:
            return "it is closing"
        channels = list(self._channels)
        if len(channels) >= self._limits.max_channels:
            return "it has all the channels it may have"
        strangers = [each for each in channels if not each.trusted and not each.ended]
        if len(strangers) >= self._limits.max_strangers:
            strangers[0].close("a newer stranger took its place")
        end = NodeEnd(connection, peer, channel, self._accept, self._forget)
        self._channels[end] = None
        try:
            end.start()
        except RuntimeError as error:
            self._forget(end)
            return f"{error}"
        return ""

    def _forget(self, end: NodeEnd) -> None:
        self._channels.pop(end, None)

    async def _on_who(self, message: Msg) -> None:
        frame, connection = decode(message.data), self._connection
        if frame is None or frame.kind is not Kind.WHO or connection is None or self._closing.is_set():
            return
        if is_id(sender := frame.data.decode("ascii", "replace")):
            here = Frame(Kind.HERE, frame.channel, data=f"{self._address.name} {self._id}".encode())
            connection.send_soon(sender, here)

    # In any thread

    def close(self, drain_timeout: float) -> None:
        """See :meth:`fly_orm.transport.Server.close`. In a forked process it does nothing."""
        if os.getpid() != self._pid:
            return
        with self._close_lock:
            if not self._closing.is_set():
                self._closing.set()
                self._lost.ring()
                self._stop(Deadline.after(drain_timeout))

    def _stop(self, deadline: Deadline) -> None:
        self._thread.join(LISTEN_TIMEOUT)  # it does not listen again after this
        connection = self._connection
        if connection is not None:
            with suppress(ConnectionLost, NotInTime, *FAILURES):
                connection.job(self._stop_accepting).result(Deadline.after(LISTEN_TIMEOUT))
        channels = list(self._channels)
        for end in channels:
            end.join(deadline)
        self._flush(deadline)
        for end in channels:
            end.disconnect()
            end.report_gone()
        last = Deadline.after(_JOIN_TIMEOUT)
        for end in channels:
            end.join(last)

    def _flush(self, deadline: Deadline) -> None:
        """If there is time, wait until NATS has taken the last replies, so that the process may end."""
        connection, remaining = self._connection, deadline.within(MESSAGE_TIMEOUT).remaining()
        if connection is None or not remaining:
            return
        with suppress(ConnectionLost, *FAILURES):
            flushing = connection.job(NatsConnection.flush, remaining)
            try:
                flushing.result(Deadline.after(remaining))
            except NotInTime:
                flushing.cancel()

    async def _stop_accepting(self, connection: NatsConnection) -> None:
        self._declining = True
        for end in list(self._channels):
            end.drain()
        await self._unsubscribe(connection)
        await connection.flush()
