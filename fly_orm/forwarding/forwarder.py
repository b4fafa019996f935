"""Sends requests to a node of a region, and reports the outcome of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from ..deadline import Deadline
from ..errors import FlyOrmError, NotDelivered, NotPrimary, Refused
from ..protocol.messages import BUSY, Call, Cancel, Done, Returned, Run
from ..settings import Settings
from ..topology import Node
from ..transport import Transport
from .channels import AllInUse, NodeChannels, OldChannelLost
from .directory import Directory
from .failures import combined
from .fence import Fence
from .remote_call import send
from .remote_lease import RemoteLease
from .response import Response

T = TypeVar("T")

#: With less time (seconds) than this, nodes that were busy are not tried once more: their replies could come too late.
RETRY_MIN_TIME = 0.5


class Forwarder:
    """Sends the requests of one process to the primary region, and calls of functions to any. Thread-safe."""

    def __init__(self, settings: Settings, transport: Transport) -> None:
        self._settings = settings
        self._region = settings.topology.primary_region or settings.topology.region
        self.directory = Directory(settings, transport)
        """The nodes of each region, and the channels to them."""
        self.fence = Fence()
        """The newest timelines that this process has seen."""

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

        return self.try_nodes(self._region, deadline, attempt)

    def call(self, region: str, call: Call, deadline: Deadline) -> Response[Returned]:
        """Call a function on a node of a region, and return the response. Errors are those of :meth:`open_lease`.

        While all nodes that can be reached are busy, they are tried again until the deadline. This does not spin: a
        busy node lets a call queue for a while before it declines.
        """
        while True:
            try:
                return self.try_nodes(
                    region, deadline, lambda channels: send(channels, call, deadline), action=f"ran {call.function}"
                )
            except (Refused, AllInUse) as error:
                left = deadline.remaining()
                busy = isinstance(error, AllInUse) or error.reason == BUSY
                if not busy or (left is not None and left < RETRY_MIN_TIME):
                    raise

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
        failures: list[FlyOrmError] = []
        for node in self._candidates(region, deadline, failures):
            while not deadline.expired:
                try:
                    result = attempt(self.directory.channels_to(node))
                except OldChannelLost as error:
                    # Its channel was discarded, so this ends: at the latest, with a channel opened just now.
                    failures.append(error.__cause__ if isinstance(error.__cause__, NotDelivered) else error)
                except (NotDelivered, Refused) as error:
                    failures.append(error)
                    self._note(node, error, deadline)
                    break  # to the next node
                else:
                    self.directory.mark_reached(node)
                    return result
        raise self._failed(region, failures, deadline, action)

    def warm_up(self) -> None:
        """Open channels to the primary region in the background, so that the first write finds them open."""
        self.directory.warm_up(self._region)

    def cancel(self, lease: bytes, node: Node) -> None:
        """Cancel the statement that runs in a lease on a node. FlyOrmError if the node cannot be told.

        Over another channel, since the lease's own is waiting for the reply to that statement.
        """
        deadline = Deadline.after(self._settings.rpc_timeout)
        channels = self.directory.channels_to(node)
        channel = channels.acquire(deadline)
        try:
            channel.request(Cancel(lease=lease), deadline)
        except BaseException:
            channels.discard(channel)
            raise
        channels.release(channel)

    def close(self) -> None:
        """Close all channels."""
        self.directory.close()

    def _candidates(self, region: str, deadline: Deadline, failures: Sequence[FlyOrmError]) -> Iterator[Node]:
        """The nodes of a region in the order to try them, and then new ones if none of these could be reached."""
        candidates = self.directory.candidates(region, deadline)
        yield from candidates
        if not deadline.expired and all(isinstance(failure, NotDelivered) for failure in failures):
            yield from self.directory.new_candidates(region, deadline, candidates)

    def _note(self, node: Node, error: NotDelivered | Refused, deadline: Deadline) -> None:
        """Note what a failed attempt says about the node, and about its primary."""
        if isinstance(error, NotPrimary):
            for database, primary in error.superseded.items():
                self.fence.met(database, primary.history, f"at {primary.address}, the server of {node}")
        if isinstance(error, Refused):
            self.directory.mark_reached(node)
        elif not isinstance(error, AllInUse) and not deadline.expired:  # otherwise the caller's time was too short
            self.directory.quarantine(node, error)

    def _failed(self, region: str, failures: Sequence[FlyOrmError], deadline: Deadline, action: str) -> FlyOrmError:
        causes = "; ".join(dict.fromkeys(map(str, failures))) or f"no attempt was made within {deadline}"
        where = f"the primary region {region!r}" if region == self._region else f"the region {region!r}"
        hint = f". Is `fly-orm serve` running at these addresses? They come from {self.directory.describe(region)}"
        return combined(failures, f"no node of {where} {action}: {causes}", hint=hint)
