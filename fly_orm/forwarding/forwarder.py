"""The secondary side: sends requests to a node of a region, and knows what became of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from ..deadline import Deadline
from ..errors import FlyOrmError, NotDelivered, NotPrimary, Refused
from ..protocol.messages import BUSY, Call, Cancel, Run
from ..settings import Settings
from ..topology import Node
from ..transport import Transport
from .channels import AllInUse, NodeChannels, OldChannelLost
from .directory import Directory
from .remote_call import CallAnswer, send
from .remote_lease import Answer, RemoteLease

T = TypeVar("T")

#: With less time than so many seconds, busy nodes are not asked once more: their answers could come too late.
LAST_TRY = 0.5


class Forwarder:
    """Sends the requests of one process to the primary region, and to others. Thread-safe."""

    def __init__(self, settings: Settings, transport: Transport) -> None:
        self._settings = settings
        self._region = settings.topology.primary_region or settings.topology.region
        self.directory = Directory(settings, transport)
        """The nodes that there are, and the channels to them."""

    def begin(
        self, run: Run, deadline: Deadline, opening: Callable[[RemoteLease], None] = lambda _lease: None
    ) -> tuple[Answer, RemoteLease | None]:
        """What came of a request that opens a lease, on the first node that takes it, and the lease if it goes on.

        ``opening`` is told each lease that is tried, which can be cancelled from then on.

        NotDelivered if no node got the request and Refused if those that did declined it: it was not executed.
        OutcomeUnknown if it may have been.
        """

        def attempt(channels: NodeChannels) -> tuple[Answer, RemoteLease | None]:
            lease = RemoteLease(channels, deadline)
            opening(lease)
            try:
                return lease.open(run, deadline)
            except NotDelivered as error:
                if lease.fresh:
                    raise
                raise OldChannelLost(str(error)) from error

        return self.each_node(self._region, deadline, attempt)

    def call(self, region: str, call: Call, deadline: Deadline) -> CallAnswer:
        """What a function came to on a node of a region; otherwise as :meth:`begin`.

        A node that is busy lets it wait for a while before it declines: the nodes are asked again until the deadline.
        """
        while True:
            try:
                return self.each_node(
                    region, deadline, lambda channels: send(channels, call, deadline), did=f"ran {call.function}"
                )
            except (Refused, AllInUse) as error:
                left = deadline.remaining()
                busy = isinstance(error, AllInUse) or error.reason == BUSY
                if not busy or (left is not None and left < LAST_TRY):
                    raise

    def each_node(
        self,
        region: str,
        deadline: Deadline,
        attempt: Callable[[NodeChannels], T],
        *,
        did: str = "executed the statement",
    ) -> T:
        """What ``attempt`` returns for the first node of a region that takes the request; nodes are tried one by one.

        ``attempt`` makes one try over the channels of one node. After a Refused the next node is tried, and after a
        NotDelivered too, with this node set aside unless it was AllInUse. For a request that was not delivered over an
        older channel ``attempt`` raises OldChannelLost, and is called for the same node again. Whatever else it raises
        is the caller's. If no node could be reached, the region is looked up afresh, for others to try.

        Raises NotDelivered, Refused or a subclass of them with what each node said: no node of the region ``did``.
        ConfigurationError if the region has no nodes.
        """
        failures: list[FlyOrmError] = []
        for node in self._line(region, deadline, failures):
            while not deadline.expired:
                try:
                    result = attempt(self.directory.channels_to(node))
                except AllInUse as error:
                    failures.append(error)
                    break
                except Refused as error:
                    self.directory.reached(node)
                    failures.append(error)
                    break
                except OldChannelLost as error:
                    failures.append(error.__cause__ if isinstance(error.__cause__, NotDelivered) else error)
                except NotDelivered as error:
                    if not deadline.expired:  # or it may have been the caller's time that was too short
                        self.directory.set_aside(node, error)
                    failures.append(error)
                    break
                else:
                    self.directory.reached(node)
                    return result
        raise self._nobody(region, failures, deadline, did)

    def warm(self) -> None:
        """Open channels in the background, so that the first write finds them."""
        self.directory.warm(self._region)

    def cancel(self, lease: bytes, node: Node) -> None:
        """Cancel what runs in a lease on a node, from another channel; FlyOrmError if that cannot be said to it."""
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

    def _line(self, region: str, deadline: Deadline, failures: Sequence[FlyOrmError]) -> Iterator[Node]:
        """The nodes of a region in the order to try them, at the end newcomers if none of the others was reached."""
        candidates = self.directory.candidates(region, deadline)
        yield from candidates
        if not deadline.expired and all(isinstance(failure, NotDelivered) for failure in failures):
            yield from self.directory.newcomers(region, deadline, candidates)

    def _nobody(self, region: str, failures: Sequence[FlyOrmError], deadline: Deadline, did: str) -> FlyOrmError:
        """The error that tells what every node said."""
        said = "; ".join(dict.fromkeys(str(failure) for failure in failures)) or f"nothing was tried within {deadline}"
        place = f"the primary region {region!r}" if region == self._region else f"the region {region!r}"
        message = f"no node of {place} {did}: {said}"
        for kind in (NotPrimary, Refused):
            refused = [failure for failure in failures if isinstance(failure, kind)]
            if refused:
                reasons = [failure.reason for failure in refused]
                reason = BUSY if BUSY in reasons else reasons[0]
                error: FlyOrmError = kind(message, reason=reason, failures=list(failures))
                break
        else:
            classes = {type(failure) for failure in failures}
            if NotDelivered in classes:
                message += (
                    f". Does `fly-orm serve` run at these addresses? They come from {self.directory.describe(region)}"
                )
            error = (classes.pop() if len(classes) == 1 else NotDelivered)(message, failures=list(failures))
        error.__cause__ = failures[-1] if failures else None
        return error
