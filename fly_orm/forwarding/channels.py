"""Sealed channels to nodes: opening one, and a pool of them per node."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..concurrency.pool import Pool, PoolTimeout
from ..deadline import Deadline, now
from ..errors import AuthenticationFailed, FlyOrmError, NotDelivered, NotPrimary, NotSupported, OutcomeUnknown, Refused
from ..protocol.handshake import ClientHandshake, Seal
from ..protocol.messages import Declined, Greet, MessageError, Reply, Request, Welcome, decode_reply, encode
from ..topology import Node
from ..transport import MAX_MESSAGE_BYTES, OVERHEAD_BYTES, Channel, Transport

#: The most that opening a channel to one node may take, so that there is time left for another node.
CONNECT_TIMEOUT = 2.0
#: Channels kept ready beyond those in use, so that a write need not wait for a connection to be made.
READY_CHANNELS = 2
#: Of the channels to a node, functions that run there use at most this share, so that statements find one as well.
CALL_SHARE = 0.5
#: Part of the time that is left is for the way there and back.
_MARGIN = 0.05


class AllInUse(NotDelivered):
    """Every channel to a node stayed in use until the deadline. The node itself may be well."""


class OldChannelLost(NotDelivered):
    """A request was not delivered over a channel opened before it, lost while idle perhaps: another channel may do.

    Its cause is the NotDelivered that a caller gets to see.
    """


class SealedChannel:
    """A channel over which both ends have proven that they hold the secret. One caller at a time."""

    def __init__(self, channel: Channel, seal: Seal, node: Node) -> None:
        self.node = node
        self.rtt = 0.0
        """Seconds that the last small exchange took."""
        self.opened = now()
        """When it was opened, on the monotonic clock; an older one may have been lost while idle."""
        self._channel = channel
        self._seal = seal

    def request(self, message: Request, deadline: Deadline) -> Reply:
        """The reply; NotDelivered or OutcomeUnknown if there is none. After an error the channel is of no use."""
        encoded = encode(message)
        if len(encoded) > MAX_MESSAGE_BYTES - OVERHEAD_BYTES:
            raise NotSupported(
                f"the request is {len(encoded)} bytes long and {MAX_MESSAGE_BYTES} is the most that one request to "
                "another region carries; send less at once"
            )
        reply = self._seal.open(self._channel.exchange(self._seal.close(encoded), deadline))
        if reply is None:
            raise OutcomeUnknown(f"the reply of {self.node} was altered on its way", node=str(self.node))
        try:
            return decode_reply(reply)
        except MessageError as error:
            raise OutcomeUnknown(f"the reply of {self.node} cannot be understood: {error}") from error

    def node_timeout(self, deadline: Deadline) -> float | None:
        """Seconds that a node may take, so that its answer that they are over arrives before the deadline."""
        left = deadline.remaining()
        return None if left is None else max(0.0, left - 1.25 * self.rtt - _MARGIN)

    def close(self) -> None:
        self._channel.close()


def refused(reply: Declined, node: Node) -> Refused:
    """The error that says why a node declined a request before executing anything."""
    if reply.reason == NotPrimary.reason:
        return NotPrimary(f"{node}: {reply.message}", node=str(node))
    return Refused(f"{node}: {reply.message}", node=str(node), reason=reply.reason)


def open_channel(transport: Transport, node: Node, *, secret: str, region: str, deadline: Deadline) -> SealedChannel:
    """A new sealed channel to the node; NotDelivered if it cannot be opened in time."""
    if not secret and not transport.is_local(node.address):
        raise AuthenticationFailed(
            f"{node} is not on this machine, so FLY_ORM_SECRET must be set here and there, to the same value",
            node=str(node),
        )
    channel = transport.connect(node.address, deadline)
    try:
        return _greet(channel, node, secret, region, deadline)
    except OutcomeUnknown as error:
        channel.close()
        raise NotDelivered(f"{node} did not finish the handshake: {error}", node=str(node)) from error
    except BaseException:
        channel.close()
        raise


def _greet(channel: Channel, node: Node, secret: str, region: str, deadline: Deadline) -> SealedChannel:
    handshake = ClientHandshake(secret)
    seal = handshake.accept(channel.exchange(handshake.hello, deadline), str(node))
    sealed = SealedChannel(channel, seal, node)
    started = now()
    welcome = sealed.request(Greet(region=region), deadline)
    sealed.rtt = now() - started
    if not isinstance(welcome, Welcome):
        raise NotDelivered(f"{node} answered the greeting with {welcome}", node=str(node))
    return sealed


class NodeChannels:
    """The channels to one node: opened on demand and ahead of it, each lent to one caller at a time. Thread-safe."""

    def __init__(self, transport: Transport, node: Node, *, secret: str, region: str, max_size: int) -> None:
        self.node = node
        self._transport, self._secret, self._region = transport, secret, region
        self._pool: Pool[SealedChannel] = Pool(self._open, SealedChannel.close, max_size=max_size)
        self._warming = threading.Lock()
        self._calls = threading.BoundedSemaphore(max(1, int(max_size * CALL_SHARE)))

    @contextmanager
    def room_for_call(self, deadline: Deadline) -> Iterator[None]:
        """A block in which a function may be called; AllInUse if too many stay under way for long."""
        if not self._calls.acquire(timeout=deadline.for_queueing().remaining()):
            raise AllInUse(f"as many functions as may run on {self.node} stayed under way", node=str(self.node))
        try:
            yield
        finally:
            self._calls.release()

    def acquire(self, deadline: Deadline) -> SealedChannel:
        """A channel for the caller alone; NotDelivered if none can be had in time."""
        try:
            channel = self._pool.acquire(deadline)
        except PoolTimeout as error:
            raise AllInUse(f"no channel to {self.node} became free: {error}", node=str(self.node)) from error
        self.warm()
        return channel

    def release(self, channel: SealedChannel) -> None:
        self._pool.release(channel)

    def discard(self, channel: SealedChannel) -> None:
        self._pool.discard(channel)

    def warm(self) -> None:
        """Open channels in the background, unless enough are idle."""
        if self._pool.lacks(READY_CHANNELS) and self._warming.acquire(blocking=False):
            try:
                threading.Thread(target=self._warm, name="fly_orm channel opener", daemon=True).start()
            except RuntimeError:  # no more threads to be had: channels are opened when they are needed
                self._warming.release()

    def close(self) -> None:
        self._pool.close()

    def _warm(self) -> None:
        try:
            self._pool.warm(READY_CHANNELS, Deadline.after(CONNECT_TIMEOUT))
        except FlyOrmError:
            pass  # whoever needs a channel meets the same error, and reports it
        finally:
            self._warming.release()

    def _open(self, deadline: Deadline) -> SealedChannel:
        limit = deadline.within(CONNECT_TIMEOUT)
        return open_channel(self._transport, self.node, secret=self._secret, region=self._region, deadline=limit)
