"""The secondary side: sends requests to a node of the primary region, and knows what became of each."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence

from .channels import AllInUse, NodeChannels
from .deadline import Deadline, now
from .errors import ConfigurationError, FlyOrmError, NotDelivered, NotPrimary, Refused
from .messages import Cancel, Run
from .remote_lease import Answer, RemoteLease
from .settings import Settings
from .topology import Node
from .transport import Transport

log = logging.getLogger("fly_orm")

#: Channels to one node; each carries one request, or one open transaction, at a time.
MAX_CHANNELS = 32
#: A node that could not be reached is tried only after the others for so many seconds.
SET_ASIDE = 5.0


class Forwarder:
    """Sends the requests of one process to the primary region. Thread-safe."""

    def __init__(self, settings: Settings, transport: Transport) -> None:
        self._settings = settings
        self._transport = transport
        self._region = settings.topology.primary_region or settings.topology.region
        self._lock = threading.Lock()
        self._channels: dict[Node, NodeChannels] = {}
        self._aside: dict[Node, float] = {}

    def begin(
        self, run: Run, deadline: Deadline, opening: Callable[[RemoteLease], None] = lambda _lease: None
    ) -> tuple[Answer, RemoteLease | None]:
        """What came of a request that opens a lease, on the first node that takes it, and the lease if it goes on.

        ``opening`` is told each lease that is tried, which can be cancelled from then on.

        NotDelivered if no node got the request and Refused if those that did declined it: it was not executed.
        OutcomeUnknown if it may have been.
        """
        failures: list[FlyOrmError] = []
        for node in self._candidates():
            while not deadline.expired:
                try:
                    lease = RemoteLease(self._channels_to(node), deadline)
                except AllInUse as error:
                    failures.append(error)
                    break
                except NotDelivered as error:
                    self._set_aside(node, error)
                    failures.append(error)
                    break
                try:
                    opening(lease)
                    return lease.open(run, deadline)
                except Refused as error:
                    failures.append(error)
                    break
                except NotDelivered as error:
                    failures.append(error)
                    if lease.fresh:
                        self._set_aside(node, error)
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

    def _set_aside(self, node: Node, error: NotDelivered) -> None:
        if self._aside.get(node, 0.0) <= now():
            log.warning("%s is tried only after other nodes for %g s: %s", node, SET_ASIDE, error)
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
            if NotDelivered in classes:
                message += ". Does `fly-orm serve` run at the addresses that FLY_ORM_NODES gives?"
            error = (classes.pop() if len(classes) == 1 else NotDelivered)(message, failures=list(failures))
        error.__cause__ = failures[-1] if failures else None
        return error
