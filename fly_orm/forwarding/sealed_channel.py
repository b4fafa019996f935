"""A channel to a node on which every message is authenticated."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from ..deadline import Deadline, now
from ..errors import AuthenticationFailed, FlyOrmError, NoChannel, NotDelivered, NotSupported, OutcomeUnknown
from ..observing.events import ChannelClosed, ChannelOpened, ChannelRefused
from ..observing.listeners import emit, listeners
from ..parsing import naming
from ..protocol import reasons
from ..protocol.encoding import MessageError, decode_reply, encode
from ..protocol.handshake import ClientHandshake, Seal
from ..protocol.messages import (
    Call,
    Cancel,
    Copy,
    Declined,
    Done,
    Greet,
    Release,
    Reply,
    Request,
    Run,
    Welcome,
)
from ..protocol.secret import Secrets
from ..protocol.strength import weakness
from ..topology import Node
from ..transport import MAX_MESSAGE_BYTES, OVERHEAD_BYTES, Channel, Transport
from .node_clock import NodeClock
from .observed_request import Sizes, observed
from .settled import with_settled_after

log = logging.getLogger("fly_orm")

#: Round trips, and seconds, of the caller's time that a node does not get; see :meth:`SealedChannel.node_timeout`.
_MARGIN_ROUND_TRIPS = 1.25
_MARGIN = 0.05
#: The requests that say by when they have to begin.
_TIMED = (Run, Copy, Call, Cancel)


class SealedChannel:
    """A channel whose two ends have proven to each other that they hold the secret. Used by one caller at a time."""

    def __init__(self, channel: Channel, seal: Seal, node: Node, region: str, clock: NodeClock) -> None:
        self.node = node
        self.welcome: Welcome
        """What the node has said about itself."""
        self.opened_at = now()
        """When it was opened, on the monotonic clock."""
        self.reused = False
        """Whether it was open before its present caller asked for one, and so may have been lost while idle."""
        self.answered_at = self.opened_at
        """When the last reply arrived, on the monotonic clock."""
        self.finished = False
        """Whether the node is shutting down, and may have sent its last reply."""
        self.unanswered = False
        """Whether a request may have been delivered, but got no reply."""
        self._channel = channel
        self._seal = seal
        self._region = region
        self._clock = clock
        self._sizes = Sizes()
        self._closed = False

    def greet(self, deadline: Deadline) -> None:
        """Exchange greetings, from which this end learns the node's clock. NotDelivered if there is no reply in time.

        The channel must be closed then.
        """
        welcome = self._first_reply(Greet(region=self._region), deadline)
        if not isinstance(welcome, Welcome):
            raise NotDelivered(f"{self.node} replied to the greeting with {welcome}", node=str(self.node))
        self.welcome = welcome

    def knock(self, deadline: Deadline) -> None:
        """Find out whether the node answers on this channel, without being one of its peers. Raises as :meth:`greet`.

        There is no lease to release yet. The channel must be closed then.
        """
        reply = self._first_reply(Release(), deadline)
        if not isinstance(reply, Done):
            raise NotDelivered(f"{self.node} replied to a knock with {reply}", node=str(self.node))

    def _first_reply(self, message: Request, deadline: Deadline) -> Reply:
        try:
            reply = self._exchange(message, deadline)
        except OutcomeUnknown as error:
            # Such a message executes nothing, so whatever became of it, the request behind it was not delivered.
            problem = error.problem or error
            raise NotDelivered(f"the handshake with {self.node} failed: {problem}", node=str(self.node)) from error
        if isinstance(reply, Declined) and reply.reason == reasons.FULL:
            raise NoChannel(f"{self.node} has no place for another channel", node=str(self.node), full=True)
        return reply

    @property
    def clock_is_vague(self) -> bool:
        """Whether the node's clock is not known well yet; see :class:`NodeClock`."""
        return self._clock.is_vague

    @property
    def round_trip(self) -> float:
        """Seconds that a message takes, there and back, at most."""
        return self._clock.round_trip

    def request(self, message: Request, deadline: Deadline) -> Reply:
        """Send a request and return the reply. NotDelivered or OutcomeUnknown if there is none by the deadline.

        The node is told how long it may take, and by when it has to begin. NotSupported, before anything is sent, if
        the request is too long. After any other error the channel must be closed: its seal numbers the messages, and a
        late reply would be taken for the reply to the next request.
        """
        if listeners.requests:
            return observed(self._request, message, deadline, self.node, self._sizes)
        return self._request(message, deadline)

    def _request(self, message: Request, deadline: Deadline) -> Reply:
        if not isinstance(message, _TIMED):
            return self._exchange(message, deadline)
        if self._clock.is_old(now()):
            self.greet(deadline)
        begin_by = self._clock.earliest(deadline.at)
        if isinstance(message, Cancel):
            message = msgspec.structs.replace(message, begin_by=begin_by)
        else:
            message = msgspec.structs.replace(message, begin_by=begin_by, timeout=self.node_timeout(deadline))
        try:
            return self._exchange(message, deadline)
        except OutcomeUnknown as error:
            error.node = str(self.node)
            raise with_settled_after(error, message, deadline) from error

    def node_timeout(self, deadline: Deadline) -> float | None:
        """Seconds that the node may spend on a request; None for no limit.

        The node cancels the statement when they are over, and says so in its reply. That reply must arrive before the
        deadline: a caller that gives up first knows only that the outcome is unknown. So the caller keeps back the time
        for the way there and back, with a quarter for jitter, and a little for the cancelling.
        """
        left = deadline.remaining()
        return None if left is None else max(0.0, left - _MARGIN_ROUND_TRIPS * self._clock.round_trip - _MARGIN)

    def close(self) -> None:
        """Close the connection. Never raises."""
        self._channel.close()
        if listeners.channel_closed and not self._closed:
            emit(ChannelClosed(node=str(self.node), seconds=now() - self.opened_at))
        self._closed = True

    def _exchange(self, message: Request, deadline: Deadline) -> Reply:
        encoded = encode(message)
        if len(encoded) > MAX_MESSAGE_BYTES - OVERHEAD_BYTES:
            raise NotSupported(
                f"the request is {len(encoded)} bytes long, and a request to another region may not be longer than "
                f"{MAX_MESSAGE_BYTES}; send less at once"
            )
        asked, self._sizes.sent = now(), len(encoded)
        try:
            sealed = self._channel.exchange(self._seal.close(encoded), deadline)
        except OutcomeUnknown:
            self.unanswered = True
            raise
        self.answered_at = answered = now()
        if (opened := self._seal.open(sealed)) is None:
            raise OutcomeUnknown(f"the reply from {self.node} was altered in transit", node=str(self.node))
        self._sizes.received = len(opened)
        try:
            reply = decode_reply(opened)
        except MessageError as error:
            raise OutcomeUnknown(
                f"the reply from {self.node} cannot be decoded: {error}", node=str(self.node)
            ) from error
        self._clock.note(reply.clock, asked=asked, answered=answered)
        self.finished = isinstance(reply, Declined) and reply.reason in (reasons.DRAINING, reasons.FULL)
        return reply


def open_channel(
    transport: Transport, node: Node, *, secrets: Secrets, region: str, deadline: Deadline
) -> SealedChannel:
    """A new channel to the node, from a process in ``region``. NotDelivered if it cannot be opened by the deadline.

    AuthenticationFailed if the node holds another secret, or is on another machine and the secret is missing or weak.
    """
    started = now()
    try:
        channel = _open_channel(transport, node, secrets, region, deadline, _greet)
    except FlyOrmError as error:
        if listeners.channel_refused:
            kind, why = type(error).__name__, str(error)
            emit(ChannelRefused(node=str(node), seconds=now() - started, error=kind, why=why))
        raise
    if listeners.channel_opened:
        emit(ChannelOpened(node=str(node), seconds=now() - started))
    return channel


def check_channel(transport: Transport, node: Node, *, secrets: Secrets, region: str, deadline: Deadline) -> None:
    """Open a channel to the node, and close it; raises as :func:`open_channel`.

    Observers and metrics do not see it, nor does the node count, report or log it as one of a peer.
    """
    _open_channel(transport, node, secrets, region, deadline, SealedChannel.knock)._channel.close()


def _open_channel(
    transport: Transport,
    node: Node,
    secrets: Secrets,
    region: str,
    deadline: Deadline,
    begin: Callable[[SealedChannel, Deadline], None],
) -> SealedChannel:
    """A new channel, on which ``begin`` has sent its first message."""
    problem = weakness(secrets)
    if problem is not None and not transport.is_local(node.address):
        raise AuthenticationFailed(f"{node} is on another machine, {problem}", node=str(node))
    handshake = ClientHandshake(secrets)  # first: the keys may take a while, for which the node would have to wait
    with naming(node.source, node.address):
        channel = transport.connect(node.address, deadline)
    try:
        sealed = _shake_hands(channel, node, handshake, region, deadline)
        begin(sealed, deadline)
        return sealed
    except OutcomeUnknown as error:
        channel.close()
        raise NotDelivered(
            f"the handshake with {node} failed: {error.problem or error}", node=str(node), accepted=True
        ) from error
    except BaseException:
        channel.close()
        raise


def _shake_hands(
    channel: Channel, node: Node, handshake: ClientHandshake, region: str, deadline: Deadline
) -> SealedChannel:
    clock, asked = NodeClock(), now()
    answer = channel.exchange(handshake.hello, deadline)
    clock.note(None, asked=asked, answered=now())
    return SealedChannel(channel, handshake.accept(answer, str(node)), node, region, clock)


def _greet(sealed: SealedChannel, deadline: Deadline) -> None:
    sealed.greet(deadline)
    if sealed.clock_is_vague:  # a stall has just ended, and the first request must not suffer from it
        sealed.greet(deadline)
    welcome = sealed.welcome
    log.debug(
        "opened a channel to %s: region %r, databases %s",
        sealed.node,
        welcome.region,
        ", ".join(welcome.databases),
        extra={"event": "channel_opened", "node": str(sealed.node), "region": welcome.region},
    )
