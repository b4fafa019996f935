"""Sends requests to a node of a region, and reports the outcome of each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

from ..concurrency.latch import Latch
from ..deadline import Deadline, now
from ..errors import FlyOrmError, NoChannel, NotDelivered, NotPrimary, Refused
from ..protocol import reasons
from ..protocol.messages import Call, Done, Returned, Run, Settle, Settled
from ..settings import Settings
from ..topology import Node
from ..transport import Transport
from . import cancelling
from .asking import ask
from .candidates import PrimaryCandidates, of_region
from .channels import NodeChannels, OldChannelLost
from .copying import CopyData
from .directory import Directory
from .failures import Failures, causes
from .fence import Fence
from .interruption import Attempts, Interruption
from .primary import Primary
from .primary_region import PrimaryRegion
from .remote_call import send
from .remote_lease import RemoteLease
from .replied import after_reply
from .response import Response
from .unaccepted import Unaccepted
from .witnesses import Answers, witnesses

T = TypeVar("T")

#: With less time (seconds) than this, nodes that were busy are not tried once more: their replies could come too late.
RETRY_MIN_TIME = 0.5


class Forwarder:
    """Sends the requests of one process to where the primary is, and calls of functions to any region. Thread-safe."""

    def __init__(self, settings: Settings, transport: Transport, fence: Fence) -> None:
        self._settings = settings
        self._topology = settings.topology
        self._configured = settings.topology.primary_region or settings.topology.region
        self.directory = Directory(settings, transport)
        """The nodes of each region, and the channels to them."""
        self.fence = fence
        """The newest timelines that this process has seen."""
        self._unaccepted = Unaccepted(self.directory, settings.topology)
        self._lock = threading.Lock()
        self._primaries: dict[str | None, Primary] = {}
        self._knows_primary = Latch()
        """Set once a request for a primary has been accepted."""
        self._interruptions: dict[str, Interruption] = {}
        """By region, for calls of functions in that region."""

    def primary_of(self, database: str | None) -> PrimaryRegion:
        """The region whose nodes have the primary of a database; None stands for that of functions, which need all."""
        return self._primary(database).region

    def _primary(self, database: str | None) -> Primary:
        if (known := self._primaries.get(database)) is not None:
            return known
        with self._lock:
            if (known := self._primaries.get(database)) is None:
                region = PrimaryRegion(self._configured, database)
                interruption = Interruption(region.wanted, self._knows_primary)
                known = self._primaries[database] = Primary(self.directory, region, interruption, self.fence)
            return known

    def _interruption(self, region: str) -> Interruption:
        with self._lock:
            if (known := self._interruptions.get(region)) is None:
                known = self._interruptions[region] = Interruption(f"region {region!r}")
            return known

    def open_lease(
        self,
        run: Run,
        deadline: Deadline,
        on_attempt: Callable[[RemoteLease], None] = lambda _lease: None,
        copy: CopyData | None = None,
    ) -> tuple[Response[Done], RemoteLease | None]:
        """Send a request that opens a lease. Returns the response, and the lease if it stays open.

        ``on_attempt`` is called with the lease of each attempt, which can be cancelled from then on. ``copy`` is the
        data of a COPY, of which the request has the first piece.

        NotDelivered if no node received the request, and Refused if those that did declined it: it was not executed.
        OutcomeUnknown if it may have been.
        """

        def attempt(channels: NodeChannels) -> tuple[Response[Done], RemoteLease | None]:
            lease = RemoteLease(channels, deadline)
            on_attempt(lease)
            return lease.open(run, deadline, copy)

        return self.try_primary(run.database, deadline, attempt)

    def call(
        self, region: str | None, call: Call, deadline: Deadline, *, last_resort: bool = True
    ) -> Response[Returned]:
        """Call a function on a node of a region and return the response. None stands for the region of the primary.

        Without ``last_resort``, nodes in quarantine are not tried for the primary, so that the caller knows sooner that
        no node accepts the call. While all nodes that can be reached are busy, they are tried again until the deadline.
        This does not spin: a busy node lets a call queue for a while before it declines. Errors are those of
        :meth:`open_lease`.
        """

        def attempt(channels: NodeChannels) -> Response[Returned]:
            return send(channels, call, deadline)

        action = f"ran {call.function}"
        while True:
            try:
                if region is None:
                    return self.try_primary(None, deadline, attempt, action=action, last_resort=last_resort)
                return self.try_nodes(region, deadline, attempt, action=action)
            except (Refused, NoChannel) as error:
                left = deadline.remaining()
                busy = isinstance(error, NoChannel) or error.reason == reasons.BUSY
                if not busy or (left is not None and left < RETRY_MIN_TIME):
                    raise

    def settle(self, question: Settle, deadline: Deadline, *, avoid: str = "") -> Response[Settled]:
        """What became of a request that got no reply, as any node with the primary tells that can be reached.

        The node that ``avoid`` names is not asked. NotDelivered or Refused if none tells; nothing is known then.
        """

        def attempt(channels: NodeChannels) -> Response[Settled]:
            return ask(channels, question, deadline, avoid)

        action = "could tell what became of the request"
        return self.try_primary(question.run.database, deadline, attempt, action=action, last_resort=not avoid)

    def try_primary(
        self,
        database: str | None,
        deadline: Deadline,
        attempt: Callable[[NodeChannels], T],
        *,
        action: str = "executed the statement",
        last_resort: bool = True,
    ) -> T:
        """Call ``attempt`` for the nodes that may have a primary, and return what it returns for the first.

        It is the primary of the database, or those of all databases if None.

        These are the nodes of the primary region, and if the primary is not there, those of all regions; see
        :class:`PrimaryCandidates`. Otherwise as :meth:`try_nodes`, but without ``last_resort`` nobody waits.
        """
        primary, failures = self._primary(database), Failures()
        usual = primary.usual
        if usual and (accepted := self._first(usual, failures, deadline, attempt)) is not None:
            return accepted[1]
        attempts = Attempts(primary.interruption, deadline)
        while True:
            candidates = PrimaryCandidates(
                self.directory, primary.region, deadline, failures, last_resort=last_resort, tried=usual
            )
            if (accepted := self._first(candidates, failures, deadline, attempt)) is not None:
                node, result = accepted
                with after_reply("note the region of the primary"):
                    primary.accepted(node, failures)
                return result
            error = self._unaccepted.by_primary(primary.region, candidates, failures, deadline, action)
            waits = failures.found_full and attempts.wait_for_place()
            if not waits and not (last_resort and failures.may_pass and attempts.wait(causes(failures.errors))):
                raise error
            usual, failures = (), Failures()

    def try_nodes(
        self,
        region: str,
        deadline: Deadline,
        attempt: Callable[[NodeChannels], T],
        *,
        action: str = "executed the statement",
    ) -> T:
        """Call ``attempt`` for one node of the region after another, and return what it returns for the first.

        ``attempt`` sends the request to one node. If it raises NotDelivered or Refused, the next node is tried. If it
        raises OldChannelLost, the same node is tried again. Any other exception may mean that the request was executed,
        so it ends the attempts. If no node could be reached, the region is looked up again, and new nodes are tried. If
        nodes that have accepted requests do not accept this one, all are tried again for a while, as
        :class:`Interruption` says.

        Raises NotDelivered, Refused or a subclass of them, with the error of every attempt: no node of the region
        performed the ``action``, which completes that sentence. NoNode if the region has no nodes.
        """
        interruption = self._interruption(region)
        attempts = Attempts(interruption, deadline)
        while True:
            failures = Failures()
            candidates = of_region(self.directory, region, deadline, failures)
            if (accepted := self._first(candidates, failures, deadline, attempt)) is not None:
                with after_reply("note that the region accepts requests"):
                    interruption.accepted()
                return accepted[1]
            if failures.found_full and attempts.wait_for_place():
                continue
            if not (failures.may_pass and attempts.wait(causes(failures.errors))):
                raise self._unaccepted.by_region(region, failures.errors, deadline, action)

    def witnesses(self, database: str, deadline: Deadline, failures: list[FlyOrmError]) -> Answers:
        """What nodes say of the server of a database; see :func:`fly_orm.forwarding.witnesses.witnesses`."""
        return witnesses(self.directory, self._settings.topology, database, deadline, failures)

    def knows_nodes(self) -> bool:
        """Whether any node is known, of whatever region; True if they cannot be looked up now."""
        no_wait = Deadline.after(0)
        try:
            return any(self.directory.nodes(region, no_wait) for region in self.directory.regions(no_wait))
        except NotDelivered:
            return True

    def warm_up(self, database: str) -> None:
        """Open channels to where a primary is in the background, so that the first write finds them open."""
        self.directory.warm_up(self.primary_of(database).current)

    def cancel(self, lease: bytes, node: Node) -> None:
        """Cancel the statement that runs in a lease on a node. FlyOrmError if the node cannot be told."""
        cancelling.cancel(self.directory.channels_to(node), lease, Deadline.after(self._settings.rpc_timeout))

    def close(self) -> None:
        """Close all channels."""
        self.directory.close()

    def _first(
        self, candidates: Iterable[Node], failures: Failures, deadline: Deadline, attempt: Callable[[NodeChannels], T]
    ) -> tuple[Node, T] | None:
        """The first candidate that accepts the request, and what ``attempt`` returned; None if none does."""
        for node in candidates:
            while (asked_at := now()) < deadline.at:
                try:
                    result = attempt(self.directory.channels_to(node))
                except OldChannelLost as error:
                    # Its channel was discarded, so this ends: at the latest, with a channel opened just now.
                    cause = error.__cause__
                    failures.add(node.region, cause if isinstance(cause, NotDelivered | Refused) else error)
                except (NotDelivered, Refused) as error:
                    failures.add(node.region, error)
                    self._note(node, error, asked_at, deadline)
                    break  # to the next node
                else:
                    if self.directory.quarantined:
                        with after_reply("note that the node was reached"):
                            self.directory.mark_reached(node, asked_at)
                    return node, result
        return None

    def _note(self, node: Node, error: NotDelivered | Refused, asked_at: float, deadline: Deadline) -> None:
        """Note what a failed attempt says about the node, and about its primary."""
        if isinstance(error, NotPrimary):
            for database, primary in error.superseded.items():
                newer = self.fence.newer(database, primary.history) or "a newer one, which the session has seen"
                self.fence.report(database, primary.history, f"at {primary.address}, the server of {node}", newer)
        if isinstance(error, Refused):
            if error.reason == reasons.DRAINING:
                self.directory.quarantine(node, error)
            else:
                self.directory.mark_reached(node, asked_at)
        elif not isinstance(error, NoChannel) and not deadline.expired:  # otherwise the caller's time was too short
            self.directory.quarantine(node, error)
