"""The caller's side of a lease: requests that run on one primary connection, over one channel."""

from __future__ import annotations

import math
import os

import msgspec

from ..deadline import Deadline, now
from ..errors import (
    AlreadyCommitted,
    FlyOrmError,
    NotDelivered,
    NotSupported,
    OutcomeUnknown,
    Refused,
    ResultLost,
)
from ..protocol import reasons
from ..protocol.messages import Done, Release, Renew, Run
from .channels import NodeChannels, OldChannelLost
from .copying import CopyData, exchange
from .response import Response, done, lost
from .sealed_channel import SealedChannel

#: Seconds that releasing a lease may take. If the node does not reply, it notices that the channel is closed.
_RELEASE_TIMEOUT = 1.0
#: Seconds between two renewals, at most, of a lease without a transaction. A node that ends idle leases sooner gets
#: three in that time.
_RENEWAL_INTERVAL = 15.0
_PER_TIMEOUT = 3


class RemoteLease:
    """The caller's side of a lease. It holds one channel, on which each request continues what earlier ones began.

    Used by one thread at a time.
    """

    def __init__(self, channels: NodeChannels, deadline: Deadline) -> None:
        """Acquire a channel; NotDelivered if there is none by the deadline."""
        self.id = os.urandom(16)
        self.node = channels.node
        self._channels = channels
        self._channel: SealedChannel | None = channels.acquire(deadline)
        self._pid = os.getpid()
        self._used = now()
        """When the last exchange ended; infinity during one."""

    def open(
        self, run: Run, deadline: Deadline, copy: CopyData | None = None
    ) -> tuple[Response[Done], RemoteLease | None]:
        """Send the first request. Returns the response, and this lease if the node keeps it open.

        ``copy`` is the data of a COPY, of which the request has the first piece.

        OldChannelLost if the request was not delivered because the channel had been lost while idle, perhaps, or if
        the node took it for expired before the deadline, or needed the place of the channel.
        """
        reused = self._channel is not None and self._channel.reused
        try:
            response = self._exchange(run, deadline, copy, opens=True)
        except (NotDelivered, Refused) as error:
            again = (
                isinstance(error, Refused) and error.reason in (reasons.EXPIRED, reasons.FULL) and not deadline.expired
            )
            if not reused or not (isinstance(error, NotDelivered) or again):
                raise
            raise OldChannelLost(str(error)) from error
        except OutcomeUnknown as error:
            if run.has_commit or run.ends_transaction or not run.preamble:
                raise
            raise lost(self.node, error) from error  # it began with BEGIN, and no COMMIT was sent
        return response, None if self._channel is None else self

    def run(
        self, run: Run, deadline: Deadline, copy: CopyData | None = None, *, in_transaction: bool
    ) -> Response[Done]:
        """Send a later request and return the response. ``copy`` is as in :meth:`open`.

        TransactionLost if the request failed, or its outcome is unknown. But if it may have committed, OutcomeUnknown:
        so may every statement outside of a transaction.
        """
        try:
            return self._exchange(run, deadline, copy)
        except NotDelivered as error:
            raise lost(self.node, error) from error
        except OutcomeUnknown as error:
            if run.has_commit or run.ends_transaction or not in_transaction:
                raise
            raise lost(self.node, error) from error

    def renew(self, deadline: Deadline) -> None:
        """Let the node know that the lease is still needed; FlyOrmError if it is lost."""
        self._exchange(Renew(lease=self.id), deadline)

    def renewal_due(self, *, in_transaction: bool) -> float | None:
        """When the lease has to be renewed (monotonic), if nothing is sent before; None if it does not have to."""
        if (channel := self._channel) is None:
            return None
        welcome = channel.welcome
        if in_transaction:
            return None if welcome.renewal_interval is None else self._used + welcome.renewal_interval
        idle_timeout = math.inf if welcome.idle_timeout is None else welcome.idle_timeout
        return self._used + min(_RENEWAL_INTERVAL, idle_timeout / _PER_TIMEOUT)

    @property
    def ended(self) -> bool:
        """Whether the lease has ended."""
        return self._channel is None

    def abandon(self) -> None:
        """End the lease by closing its channel, without telling the node. Never raises."""
        channel, self._channel = self._channel, None
        if channel is not None and os.getpid() == self._pid:
            self._channels.discard(channel)

    def release(self) -> None:
        """End the lease; the node rolls back what is open in it. Never raises."""
        if self._channel is None:
            return
        if os.getpid() != self._pid:
            self._channel = None  # inherited by a fork: the lease belongs to the parent, which goes on using it
            return
        try:
            self._exchange(Release(), Deadline.after(_RELEASE_TIMEOUT))
        except FlyOrmError:
            return  # the channel was closed, which ends the lease as well

    def _exchange(
        self, request: Run | Renew | Release, deadline: Deadline, copy: CopyData | None = None, *, opens: bool = False
    ) -> Response[Done]:
        channel = self._channel
        if channel is None:
            raise NotDelivered(f"the connection to {self.node} was lost", node=str(self.node))
        if isinstance(request, Run):
            renews = channel.welcome.renewal_interval is not None
            request = msgspec.structs.replace(request, lease=self.id, renews=renews, opens_lease=opens)
        started, self._used = now(), math.inf
        try:
            if isinstance(request, Run) and request.record is not None:
                self._channels.check_records(channel)
            if copy is None or not isinstance(request, Run):
                reply = done(channel.request(request, deadline), self.node)
            else:
                reply = exchange(channel, request, deadline, copy)
        except (Refused, NotSupported, AlreadyCommitted, ResultLost) as error:
            # The channel itself is sound: the node has replied, or nothing was sent. If this request was to open the
            # lease, there is none, and others may use it. But those on which a request has expired, or which the
            # node closes, are discarded, so that the attempts end with a new one.
            again = isinstance(error, Refused) and error.reason in (reasons.EXPIRED, reasons.FULL)
            if opens and not again:
                self._return_channel(channel)
            elif not isinstance(error, NotSupported):
                self.abandon()  # its caller takes the lease for lost, but the node may hold it open still
            raise
        except BaseException:
            # The lease has to count as ended even if an interrupt, such as a second Ctrl-C, arrives while discard()
            # closes the connection.
            self._channel = None
            self._channels.discard(channel)
            raise
        finally:
            self._used = now()
        if not reply.lease_open:
            self._return_channel(channel)
        return Response(reply=reply, node=self.node, elapsed=now() - started)

    def _return_channel(self, channel: SealedChannel) -> None:
        self._channel = None  # first: once released, the channel belongs to its next caller
        self._channels.release(channel)
