"""The secondary side: sends requests to a node of the primary region, and knows what became of each."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from .channels import NodeChannels, SealedChannel
from .deadline import Deadline, now
from .errors import (
    ConfigurationError,
    FlyOrmError,
    NotDelivered,
    NotPrimary,
    NotSupported,
    OutcomeUnknown,
    Refused,
    TransactionLost,
)
from .messages import Cancel, Declined, Done, Release, Reply, Run
from .settings import Settings
from .topology import Node
from .transport import Transport

#: Channels to one node; each carries one request, or one open transaction, at a time.
MAX_CHANNELS = 32
#: A node that could not be reached is tried only after the others for so many seconds.
SET_ASIDE = 5.0
#: Part of the time that is left is for the way there and back, so that the node's answer that time is over arrives.
_MARGIN = 0.05


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a node did, and how long asking it took (seconds)."""

    done: Done
    node: Node
    seconds: float


class Forwarder:
    """Sends the requests of one process to the primary region. Thread-safe."""

    def __init__(self, settings: Settings, transport: Transport) -> None:
        self._settings = settings
        self._transport = transport
        self._region = settings.topology.primary_region or settings.topology.region
        self._lock = threading.Lock()
        self._channels: dict[Node, NodeChannels] = {}
        self._aside: dict[Node, float] = {}

    def begin(self, run: Run, deadline: Deadline) -> tuple[Answer, RemoteLease | None]:
        """What came of a request that opens a lease, on the first node that takes it, and the lease if it goes on.

        NotDelivered if no node got the request and Refused if those that did declined it: it was not executed.
        OutcomeUnknown if it may have been.
        """
        failures: list[FlyOrmError] = []
        for node in self._candidates():
            while not deadline.expired:
                try:
                    lease = RemoteLease(self._channels_to(node), deadline)
                except NotDelivered as error:
                    self._set_aside(node)
                    failures.append(error)
                    break
                try:
                    return lease.open(run, deadline)
                except Refused as error:
                    failures.append(error)
                    break
                except NotDelivered as error:
                    failures.append(error)
                    if lease.fresh:
                        self._set_aside(node)
                        break  # an older channel may have been lost while idle, and another may do
        raise self._nobody(failures, deadline)

    def warm(self) -> None:
        """Open channels in the background, so that the first write finds them."""
        for node in self._settings.nodes.get(self._region, ()):
            self._channels_to(node).warm()

    def cancel(self, lease: bytes, node: Node) -> None:
        """Cancel what runs in a lease on a node, from another channel; FlyOrmError if that cannot be said to it."""
        deadline = Deadline.after(self._settings.rpc_timeout)
        channels = self._channels_to(node)
        channel = channels.acquire(deadline)
        try:
            channel.request(Cancel(lease=lease), deadline)
        except BaseException:
            channels.discard(channel)
            raise
        channels.release(channel)

    def close(self) -> None:
        """Close all channels."""
        with self._lock:
            channels, self._channels = list(self._channels.values()), {}
        for each in channels:
            each.close()

    def _candidates(self) -> Sequence[Node]:
        """The nodes of the primary region: in random order, those set aside last."""
        nodes = list(self._settings.nodes.get(self._region, ()))
        if not nodes:
            known = ", ".join(sorted(self._settings.nodes)) or "none"
            raise ConfigurationError(
                f"no node is known in the primary region {self._region!r} (FLY_ORM_NODES has these regions: {known}); "
                f"set for instance FLY_ORM_NODES='{self._region}=ADDRESS:PORT'"
            )
        random.shuffle(nodes)
        moment = now()
        return sorted(nodes, key=lambda node: self._aside.get(node, 0.0) > moment)

    def _set_aside(self, node: Node) -> None:
        self._aside[node] = now() + SET_ASIDE

    def _channels_to(self, node: Node) -> NodeChannels:
        with self._lock:
            if node not in self._channels:
                self._channels[node] = NodeChannels(
                    self._transport,
                    node,
                    secret=self._settings.secret,
                    region=self._settings.topology.region,
                    max_size=MAX_CHANNELS,
                )
            return self._channels[node]

    def _nobody(self, failures: Sequence[FlyOrmError], deadline: Deadline) -> FlyOrmError:
        """The error that tells what every node said."""
        said = "; ".join(dict.fromkeys(str(failure) for failure in failures)) or f"nothing was tried within {deadline}"
        message = f"no node of the primary region {self._region!r} executed the statement: {said}"
        for kind in (NotPrimary, Refused):
            refused = [failure for failure in failures if isinstance(failure, kind)]
            if refused:
                error: FlyOrmError = kind(message, reason=refused[0].reason, failures=list(failures))
                break
        else:
            classes = {type(failure) for failure in failures}
            error = (classes.pop() if len(classes) == 1 else NotDelivered)(message, failures=list(failures))
        error.__cause__ = failures[-1] if failures else None
        return error


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
        answer = self._exchange(msgspec.structs.replace(run, opens=True), deadline)
        return answer, None if self._channel is None else self

    def run(self, run: Run, deadline: Deadline) -> Answer:
        """What came of a later request. TransactionLost if it cannot be known or done, unless it may have committed."""
        try:
            return self._exchange(run, deadline)
        except NotDelivered as error:
            raise TransactionLost(self._lost(error)) from error
        except OutcomeUnknown as error:
            if run.commits:
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
            request = msgspec.structs.replace(request, lease=self.id, budget=self._budget(channel, deadline))
        started = now()
        try:
            reply = channel.request(request, deadline)
            done = _done(reply, self.node)
        except Refused:
            self._let_go(channel)
            raise
        except NotSupported:
            if isinstance(request, Run) and request.opens:
                self._let_go(channel)
            raise
        except BaseException:
            self._channel = None
            self._channels.discard(channel)
            raise
        if not done.kept:
            self._let_go(channel)
        return Answer(done=done, node=self.node, seconds=now() - started)

    def _let_go(self, channel: SealedChannel) -> None:
        self._channel = None
        self._channels.release(channel)

    def _budget(self, channel: SealedChannel, deadline: Deadline) -> float | None:
        left = deadline.remaining()
        return None if left is None else max(0.0, left - 1.25 * channel.rtt - _MARGIN)

    def _lost(self, error: FlyOrmError) -> str:
        return f"the transaction on {self.node} is lost, and nothing of it was committed: {error}"


#: Seconds to say goodbye in; a node that does not answer notices the closed connection.
_RELEASE_TIMEOUT = 1.0


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
        case "not primary":
            raise NotPrimary(f"{node}: {reply.message}", node=str(node))
        case _:
            raise Refused(f"{node}: {reply.message}", node=str(node), reason=reply.reason)
