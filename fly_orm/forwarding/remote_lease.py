"""The caller's end of a lease: what runs on one primary connection, over one channel."""

from __future__ import annotations

import os
from dataclasses import dataclass

import msgspec

from ..deadline import Deadline, now
from ..errors import FlyOrmError, NotDelivered, NotSupported, OutcomeUnknown, Refused, TransactionLost
from ..protocol.messages import Declined, Done, Release, Reply, Run
from ..topology import Node
from .channels import NodeChannels, SealedChannel, refused

#: Seconds to say goodbye in; a node that does not answer notices the closed connection.
_RELEASE_TIMEOUT = 1.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a node did, and how long asking it took (seconds)."""

    done: Done
    node: Node
    seconds: float


class RemoteLease:
    """The caller's end of a lease: one channel, on which requests continue what earlier ones began."""

    def __init__(self, channels: NodeChannels, deadline: Deadline) -> None:
        self.id = os.urandom(16)
        self.node = channels.node
        self._channels = channels
        started = now()
        self._channel: SealedChannel | None = channels.acquire(deadline)
        self.fresh = self._channel.opened >= started
        """Whether its channel was opened just now."""
        self._pid = os.getpid()

    def open(self, run: Run, deadline: Deadline) -> tuple[Answer, RemoteLease | None]:
        """What came of the first request, and this lease if it goes on."""
        try:
            answer = self._exchange(msgspec.structs.replace(run, opens_lease=True), deadline)
        except OutcomeUnknown as error:
            if run.commits or run.ends_transaction or not run.preamble:
                raise
            raise TransactionLost(self._lost(error)) from error  # it began with BEGIN, and no COMMIT was sent
        return answer, None if self._channel is None else self

    def run(self, run: Run, deadline: Deadline) -> Answer:
        """What came of a later request. TransactionLost if it cannot be known or done, unless it may have committed."""
        try:
            return self._exchange(run, deadline)
        except NotDelivered as error:
            raise TransactionLost(self._lost(error)) from error
        except OutcomeUnknown as error:
            if run.commits or run.ends_transaction:
                raise
            raise TransactionLost(self._lost(error)) from error

    @property
    def ended(self) -> bool:
        """Whether the lease is over."""
        return self._channel is None

    def abandon(self) -> None:
        """End the lease by closing its channel, without a word. Never raises."""
        channel, self._channel = self._channel, None
        if channel is not None and os.getpid() == self._pid:
            self._channels.discard(channel)

    def release(self) -> None:
        """End the lease; what is open in it is rolled back. Never raises."""
        channel = self._channel
        if channel is None:
            return
        if os.getpid() != self._pid:
            self._channel = None  # the parent's
            return
        try:
            self._exchange(Release(lease=self.id), Deadline.after(_RELEASE_TIMEOUT))
        except FlyOrmError:
            return  # the channel is closed, which ends the lease as well

    def _exchange(self, request: Run | Release, deadline: Deadline) -> Answer:
        channel = self._channel
        if channel is None:
            raise NotDelivered(f"the connection to {self.node} was lost", node=str(self.node))
        if isinstance(request, Run):
            request = msgspec.structs.replace(request, lease=self.id, timeout=channel.node_timeout(deadline))
        started = now()
        try:
            reply = channel.request(request, deadline)
            done = _done(reply, self.node)
        except (Refused, NotSupported) as error:
            if isinstance(request, Run) and request.opens_lease:
                self._let_go(channel)
            elif isinstance(error, Refused):
                self.abandon()  # or the lease would stay open on a channel that others use
            raise
        except BaseException:
            self._channel = None
            self._channels.discard(channel)
            raise
        if not done.lease_open:
            self._let_go(channel)
        return Answer(done=done, node=self.node, seconds=now() - started)

    def _let_go(self, channel: SealedChannel) -> None:
        self._channel = None
        self._channels.release(channel)

    def _lost(self, error: FlyOrmError) -> str:
        return f"the transaction on {self.node} is lost, and nothing of it was committed: {error}"


def _done(reply: Reply, node: Node) -> Done:
    """The reply if the request was executed; the error that says what became of it otherwise."""
    if isinstance(reply, Done):
        return reply
    if not isinstance(reply, Declined):
        raise OutcomeUnknown(f"{node} answered with {type(reply).__name__}", node=str(node))
    match reply.reason:
        case "unknown":
            raise OutcomeUnknown(f"{node} lost the primary while it executed: {reply.message}", node=str(node))
        case "lost":
            raise TransactionLost(
                f"the transaction on {node} is lost, and nothing of it was committed: {reply.message}", node=str(node)
            )
        case _:
            raise refused(reply, node)
