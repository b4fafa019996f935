"""Sends requests to a node of a region, and reports the outcome of each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from ..deadline import Deadline
from ..errors import FlyOrmError, NoNode, NotDelivered, NotPrimary, Refused
from ..protocol.messages import BUSY, Call, Cancel, Done, Returned, Run, Settle, Settled
from ..settings import Settings
from ..topology import Node
from ..transport import Transport
from .asking import ask
from .candidates import PrimaryCandidates, of_region
from .channels import AllInUse, NodeChannels, OldChannelLost
from .directory import Directory
from .failures import Failures, causes, combined
from .fence import Fence
from .primary_region import PrimaryRegion
from .remote_call import send
from .remote_lease import RemoteLease
from .replied import after_reply
from .response import Response
from .return_check import ReturnCheck
from .witnesses import Answers, witnesses

T = TypeVar("T")

#: With less time (seconds) than this, nodes that were busy are not tried once more: their replies could come too late.
RETRY_MIN_TIME = 0.5


class _Primary(NamedTuple):
    region: PrimaryRegion
    return_check: ReturnCheck


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
        self._lock = threading.Lock()
        self._primaries: dict[str | None, _Primary] = {}

    def primary_of(self, database: str | None) -> PrimaryRegion:
        """The region whose nodes have the primary of a database; None stands for that of functions, which need all."""
        return self._primary(database).region

    def _primary(self, database: str | None) -> _Primary:
        with self._lock:
            if (known := self._primaries.get(database)) is None:
                region = PrimaryRegion(self._configured, database)
                known = self._primaries[database] = _Primary(region, ReturnCheck(self.directory, region, self.fence))
            return known

    def open_lease(
        self, run: Run, deadline: Deadline, on_attempt: Callable[[RemoteLease], None] = lambda _lease: None
    ) -> tuple[Response[Done], RemoteLease | None]:
        """Send a request that opens a lease. Returns the response, and the lease if it stays open.

        ``on_attempt`` is called with the lease of each attempt, which can be cancelled from then on.

        NotDelivered if no node received the request, and Refused if those that did declined it: it was not executed.
        OutcomeUnknown if it may have been.
        """

        def attempt(channels: NodeChannels) -> tuple[Response[Done], RemoteLease | None]:
            lease = RemoteLease(channels, deadline)
            on_attempt(lease)
            return lease.open(run, deadline)

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
            except (Refused, AllInUse) as error:
                left = deadline.remaining()
                busy = isinstance(error, AllInUse) or error.reason == BUSY
                if not busy or (left is not None and left < RETRY_MIN_TIME):
                    raise

    def settle(self, question: Settle, deadline: Deadline) -> Response[Settled]:
        """What became of a request that got no reply, as any node with the primary tells.

        NotDelivered or Refused if none does by the deadline; nothing is known then.
        """

        def attempt(channels: NodeChannels) -> Response[Settled]:
            return ask(channels, question, deadline)

        action = "could tell what became of the request"
        return self.try_primary(question.run.database, deadline, attempt, action=action)

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
        :class:`PrimaryCandidates`. Otherwise as :meth:`try_nodes`.
        """
        failures = Failures()
        primary, return_check = self._primary(database)
        candidates = PrimaryCandidates(self.directory, primary, deadline, failures, last_resort=last_resort)
        if (accepted := self._first(candidates, failures, deadline, attempt)) is not None:
            node, result = accepted
            with after_reply("note the region of the primary"):
                primary.accepted(node.region, failures)
                return_check.request_sent()
            return result
        raise self._no_primary(primary, candidates, failures, deadline, action)

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
        so it ends the attempts. If no node could be reached, the region is looked up again, and new nodes are tried.

        Raises NotDelivered, Refused or a subclass of them, with the error of every attempt: no node of the region
        performed the ``action``, which completes that sentence. NoNode if the region has no nodes.
        """
        failures = Failures()
        candidates = of_region(self.directory, region, deadline, failures)
        if (accepted := self._first(candidates, failures, deadline, attempt)) is not None:
            return accepted[1]
        raise self._failed(region, failures.errors, deadline, action)

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
        """Cancel the statement that runs in a lease on a node. FlyOrmError if the node cannot be told.

        Over another channel, since the lease's own is waiting for the reply to that statement.
        """
        deadline = Deadline.after(self._settings.rpc_timeout)
        with self.directory.channels_to(node).lent(deadline) as channel:
            channel.request(Cancel(lease=lease), deadline)

    def close(self) -> None:
        """Close all channels."""
        self.directory.close()

    def _first(
        self, candidates: Iterable[Node], failures: Failures, deadline: Deadline, attempt: Callable[[NodeChannels], T]
    ) -> tuple[Node, T] | None:
        """The first candidate that accepts the request, and what ``attempt`` returned; None if none does."""
        for node in candidates:
            while not deadline.expired:
                try:
                    result = attempt(self.directory.channels_to(node))
                except OldChannelLost as error:
                    # Its channel was discarded, so this ends: at the latest, with a channel opened just now.
                    cause = error.__cause__
                    failures.add(node.region, cause if isinstance(cause, NotDelivered | Refused) else error)
                except (NotDelivered, Refused) as error:
                    failures.add(node.region, error)
                    self._note(node, error, deadline)
                    break  # to the next node
                else:
                    with after_reply("note that the node was reached"):
                        self.directory.mark_reached(node)
                    return node, result
        return None

    def _note(self, node: Node, error: NotDelivered | Refused, deadline: Deadline) -> None:
        """Note what a failed attempt says about the node, and about its primary."""
        if isinstance(error, NotPrimary):
            for database, primary in error.superseded.items():
                newer = self.fence.newer(database, primary.history) or "a newer one, which the session has seen"
                self.fence.report(database, primary.history, f"at {primary.address}, the server of {node}", newer)
        if isinstance(error, Refused):
            self.directory.mark_reached(node)
        elif not isinstance(error, AllInUse) and not deadline.expired:  # otherwise the caller's time was too short
            self.directory.quarantine(node, error)

    def _no_primary(
        self, primary: PrimaryRegion, candidates: PrimaryCandidates, failures: Failures, deadline: Deadline, action: str
    ) -> FlyOrmError:
        """The error for a request for the primary that no node accepted."""
        if candidates.others is not None:
            found = causes(failures.of([*candidates.others, ""]))
            primary.searched(found)
            elsewhere = f". Nor did a node of another region: {found}" if found else ""
        else:
            elsewhere = f". {last}" if (last := primary.last_search) and failures.suggest_elsewhere else ""
        own, known = self._topology.region, failures.of(candidates.known)
        if own == self._configured:
            elsewhere += (
                f". PRIMARY_REGION names {own!r}, the region of this process, but the server here is a replica: if the "
                "primary is in another region, set PRIMARY_REGION to that"
            )
        elif not any(isinstance(error, NoNode) for error in known):  # which asks by itself
            question = self.directory.misspelt(self._configured, deadline)
            elsewhere += f". PRIMARY_REGION is {self._configured!r}. {question}" if question else ""
        return self._failed(self._configured, known, deadline, action, elsewhere)

    def _failed(
        self, region: str, failures: Sequence[FlyOrmError], deadline: Deadline, action: str, elsewhere: str = ""
    ) -> FlyOrmError:
        why = causes(failures) or (
            f"no attempt was made within {deadline}" if deadline.expired else "none could be reached before"
        )
        where = f"the primary region {region!r}" if region == self._configured else f"the region {region!r}"
        hint = f". Is `fly-orm serve` running at these addresses? They come from {self.directory.describe(region)}"
        return combined(failures, f"no node of {where} {action}: {why}{elsewhere}", hint=hint)
