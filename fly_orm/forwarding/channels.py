"""A pool of channels to one node."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from weakref import WeakMethod

from ..concurrency.background import BackgroundTask
from ..concurrency.crowded_pool import CrowdedPool
from ..concurrency.fair_semaphore import FairSemaphore, Holder
from ..concurrency.pool import PoolTimeout
from ..concurrency.pool_places import Usage
from ..concurrency.timer import Timer
from ..deadline import Deadline, now
from ..errors import FlyOrmError, NoChannel, NotDelivered, Refused
from ..protocol import reasons
from ..protocol.keys import keys_of
from ..protocol.messages import Welcome
from ..protocol.secret import Secrets
from ..topology import Node
from ..transport import Transport
from .sealed_channel import SealedChannel, open_channel

#: The longest that opening a channel to one node may take (seconds), so that there is time left to try another.
CONNECT_TIMEOUT = 2.0
#: The longest (seconds) that a node may take to answer whether it is there, after it has left a request unanswered.
CHECK_TIMEOUT = 1.0
#: The most channels to a node that are opened at a time. If all threads of an application that starts opened theirs at
#: once, their handshakes would delay each other until they time out, and the node has places for few strangers.
MAX_OPENING = 8
#: Idle channels that are kept open, so that a write need not wait for a connection to be made.
READY_CHANNELS = 2
#: Seconds between two looks whether so many are idle.
WARM_UP_INTERVAL = 0.05
#: The share of the channels to a node that calls of functions may use. Calls take long: without this limit, a burst of
#: them would leave none for statements.
CALL_SHARE = 0.5


class OldChannelLost(NotDelivered):
    """A request was not delivered over a channel that had been open before, and may have been lost while it was idle.

    Or the node took it for expired, as one of the two clocks has stood still since the channel was opened. As HTTP
    clients do after a kept-alive connection fails, try the same node again over another channel. Its cause is the
    NotDelivered or Refused that callers get to see.
    """


def is_full(error: Exception) -> bool:
    """Whether an error says that a node has no place for another channel."""
    return isinstance(error, NoChannel) and error.full


class NodeChannels:
    """The channels to one node, each lent to one caller at a time. Some are opened ahead of need. Thread-safe."""

    def __init__(
        self,
        transport: Transport,
        node: Node,
        *,
        secrets: Secrets,
        region: str,
        max_size: int,
        idle_timeout: float | None = None,
        on_welcome: Callable[[Node, Welcome], None] = lambda _node, _welcome: None,
    ) -> None:
        """``on_welcome`` is called with what the node says about itself, whenever a channel is opened.

        Channels that have been idle for ``idle_timeout`` seconds are closed, except for READY_CHANNELS.
        """
        self.node = node
        self._on_welcome = on_welcome
        self.was_reached = False
        """Whether the node has ever welcomed a channel."""
        self._transport, self._secrets, self._region = transport, secrets, region
        self._pool: CrowdedPool[SealedChannel] = CrowdedPool(
            self._open,
            SealedChannel.close,
            max_size=max_size,
            max_opening=MAX_OPENING,
            shared=FlyOrmError,
            no_room=is_full,
        )
        self._suspected_at = -math.inf
        """When a request was last given up without a reply (monotonic). Channels that were silent since may be dead."""
        self._warm_up_at = -math.inf
        self._warm_up = BackgroundTask("fly_orm channel opener", self._open_ready)
        self._idle_timeout = idle_timeout
        self._timer = Timer(f"the timer of the channels to {node}")
        self._is_watched = False
        """Whether idle channels are going to be closed."""
        self._call_slots = FairSemaphore(max(1, int(max_size * CALL_SHARE)))

    @contextmanager
    def call_slot(self, deadline: Deadline) -> Iterator[None]:
        """A block in which a function may be called. NoChannel if too many other calls stay in progress."""
        holder = Holder()
        try:
            if not self._call_slots.take(holder, deadline.for_queueing().remaining()):
                raise NoChannel(
                    f"the calls that are in progress on {self.node} use all the channels that calls may use",
                    node=str(self.node),
                )
            yield
        finally:
            self._call_slots.leave(holder)

    def usage(self) -> Usage:
        """How many channels there are, and how many callers wait for one."""
        return self._pool.usage()

    def acquire(self, deadline: Deadline) -> SealedChannel:
        """A channel for the caller alone, to be released or discarded. NotDelivered if there is none in time."""
        asked_at = now()
        while True:
            try:
                channel = self._pool.acquire(deadline)
            except PoolTimeout as error:
                raise NoChannel(f"no channel to {self.node} became free: {error}", node=str(self.node)) from error
            try:
                channel.reused = channel.opened_at < asked_at
                if channel.answered_at > self._suspected_at or self._answers(channel, deadline):
                    if asked_at >= self._warm_up_at:
                        self._warm_up_at = asked_at + WARM_UP_INTERVAL
                        self.warm_up()
                    return channel
            except BaseException:
                self._pool.discard(channel)
                raise
            self._pool.discard(channel)
            self._pool.close_idle(0)  # which would not answer either

    def _answers(self, channel: SealedChannel, deadline: Deadline) -> bool:
        """Whether the node answers over an idle channel, after it has left a request without a reply.

        A node that hangs would otherwise cost every idle channel a whole timeout, and a request its known outcome.
        """
        left = deadline.remaining()
        limit = CHECK_TIMEOUT if left is None else min(CHECK_TIMEOUT, max(left / 4, 2 * channel.round_trip))
        try:
            channel.greet(deadline.within(limit))
        except NotDelivered:
            return False
        return True

    @contextmanager
    def lent(self, deadline: Deadline) -> Iterator[SealedChannel]:
        """A block with a channel of its own. NotDelivered if there is none in time."""
        channel = self.acquire(deadline)
        try:
            yield channel
        except BaseException:
            self.discard(channel)
            raise
        self.release(channel)

    def release(self, channel: SealedChannel) -> None:
        """Take back a channel whose last exchange succeeded, for other callers.

        One that the node has finished is closed: its end may still be on its way, and until it arrives, a request could
        be sent over the channel, and would get no reply.
        """
        if channel.finished:
            self._pool.discard(channel)
        else:
            self._pool.release(channel)
        if not self._is_watched and self._pool.idle > READY_CHANNELS:
            self._watch(self._idle_timeout)

    def _watch(self, seconds: float | None) -> None:
        """Close idle channels after some time, unless that is never."""
        if seconds is None:
            return
        self._is_watched = True
        close_idle = WeakMethod(self._close_idle)  # a pending call must not keep this alive
        try:
            self._timer.call_later(seconds, lambda: None if (close := close_idle()) is None else close())
        except RuntimeError:  # no thread can be started, or the timer is closed
            self._is_watched = False

    def _close_idle(self) -> None:
        self._is_watched = False
        self._watch(self._pool.close_idle(self._idle_timeout or 0.0, keep=READY_CHANNELS))

    def check_records(self, channel: SealedChannel) -> None:
        """Raise Refused if the node of the channel is too old to record a request, which it would execute."""
        if not channel.welcome.records:
            raise Refused(
                f"{self.node} runs a release of fly_orm that does not know the ledger; update it",
                node=str(self.node),
                reason=reasons.NO_LEDGER,
            )

    def discard(self, channel: SealedChannel) -> None:
        """Close a channel whose last exchange failed, or in which a lease may still be open.

        To release it would be wrong: the next caller could receive the late reply to that exchange, and a lease would
        keep its locks until somebody uses the channel again.
        """
        if channel.unanswered:
            self._suspected_at = now()
        self._pool.discard(channel)

    def warm_up(self) -> None:
        """Open channels in the background until READY_CHANNELS are idle."""
        if self._pool.lacks(READY_CHANNELS):
            self._warm_up.start()

    def close(self) -> None:
        """Close the channels that are idle now, and the others when they are given back."""
        self._timer.close()
        self._pool.close()

    def _open_ready(self) -> None:
        self._pool.warm(READY_CHANNELS, Deadline.after(CONNECT_TIMEOUT))

    def _open(self, deadline: Deadline) -> SealedChannel:
        keys_of(self._secrets)  # the first time, this takes CPU time, which may be short, and says nothing of the node
        limit = deadline.within(CONNECT_TIMEOUT)
        channel = open_channel(self._transport, self.node, secrets=self._secrets, region=self._region, deadline=limit)
        self.was_reached = True
        self._on_welcome(self.node, channel.welcome)
        return channel
