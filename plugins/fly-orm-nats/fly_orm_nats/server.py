"""The accepting side: a name that is served, over one connection to NATS after the other."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from fly_orm.errors import ConfigurationError, FlyOrmError
from fly_orm.transport import Accept, Deadline

from .accepted import MESSAGE_TIMEOUT, Accepted
from .connection import FAILURES, Unreachable
from .frames import VERSION, Frame, Kind, decode
from .limits import Limits
from .link import Link, LinkDown
from .subjects import QUEUE, Address, app_of, is_id, new_id, node_subject, only_subject, who_subject

log = logging.getLogger(__name__)

#: Seconds that listening may take.
LISTEN_TIMEOUT = 5.0
#: After the connection to NATS was lost, the pause before it is tried again: at first, and at most.
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
#: A thread whose responder was told that the peer is gone ends within so many seconds.
_JOIN_TIMEOUT = 2.0


class NatsServer:
    """A name that can be connected to. See :class:`fly_orm.transport.Server`."""

    def __init__(self, address: Address, accept: Accept, get_link: Callable[[Deadline], Link], limits: Limits) -> None:
        self._id = new_id()
        self._address = address
        self._accept = accept
        self._get_link = get_link
        self._limits = limits
        self._pid = os.getpid()
        self._link: Link | None = None
        self._subscriptions: list[Subscription] = []
        self._members: dict[Accepted, None] = {}
        """The channels whose threads have not ended."""
        self._lost, self._closing = threading.Event(), threading.Event()
        self._declining = False
        """Nobody gets a channel any more, as idle ones have ended too: whoever is declined may rely on that."""
        self._close_lock = threading.Lock()
        self._thread = threading.Thread(target=self._keep, name=f"fly-orm nats {address}", daemon=True)

    @property
    def address(self) -> str:
        """The address as it was given."""
        return str(self._address)

    def start(self) -> None:
        """It is being served; ConfigurationError if NATS cannot be reached, or does not permit it."""
        try:
            self._listen()
        except (Unreachable, LinkDown) as error:
            raise ConfigurationError(f"cannot serve {self._address}: {error}", address=self.address) from error
        self._thread.start()

    def _listen(self) -> None:
        deadline = Deadline.after(LISTEN_TIMEOUT)
        link = self._get_link(deadline)
        subscribing = link.run(self._subscribe)
        try:
            subscribing.result(LISTEN_TIMEOUT)
        except (FutureTimeout, *FAILURES) as error:
            subscribing.cancel()
            raise Unreachable(f"NATS did not let it listen: {error or type(error).__name__}") from error

    async def _subscribe(self, link: Link) -> None:
        name = self._address.name
        complaints = list(link.complaints)
        wanted = [(node_subject(name), QUEUE, self._asked), (only_subject(self._id), "", self._asked)]
        self._link, self._subscriptions = link, []
        link.listeners.add(self)
        try:
            for subject, queue, callback in [*wanted, (who_subject(app_of(name)), "", self._who)]:
                self._subscriptions.append(await link.client.subscribe(subject, queue, callback))
            await link.settle()
            for complaint in link.complaints[len(complaints) :]:
                raise Unreachable(complaint)
        except BaseException:
            await self._unsubscribe(link)
            raise

    async def _unsubscribe(self, link: Link) -> None:
        link.listeners.discard(self)
        for subscription in self._subscriptions:
            with suppress(*FAILURES):
                await subscription.unsubscribe()

    def link_lost(self) -> None:
        self._lost.set()

    def _keep(self) -> None:
        """Listen again whenever the connection was lost."""
        pause = FIRST_PAUSE
        while True:
            self._lost.wait()
            if self._closing.is_set():
                return
            self._lost.clear()
            try:
                self._listen()
            except FlyOrmError as error:
                if pause == FIRST_PAUSE:
                    log.warning("%s is not served until NATS can be reached again: %s", self._address, error)
                self._closing.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                self._lost.set()
            else:
                log.info("%s is served again", self._address)
                pause = FIRST_PAUSE

    # In the link's thread

    async def _asked(self, message: Msg) -> None:
        frame, link = decode(message.data), self._link
        if frame is None or frame.kind is not Kind.OPEN or link is None:
            return
        version, _, peer = frame.data.partition(b" ")
        if version != VERSION or not is_id(sender := peer.decode("ascii", "replace")):
            return
        problem = self._admit(link, sender, frame.channel)
        if problem:
            link.tell(sender, Frame(Kind.BUSY, frame.channel, data=problem.encode()))

    def _admit(self, link: Link, peer: str, channel: bytes) -> str:
        """Why there is no channel, if so.

        One stranger too many displaces the one that came first: an honest peer is a stranger for a round trip or two,
        so that idlers cannot keep it out by taking all the places.
        """
        if self._declining:
            return "it is closing"
        members = list(self._members)
        if len(members) >= self._limits.max_channels:
            return "it has all the channels it may have"
        strangers = [each for each in members if not each.trusted and not each.over]
        if len(strangers) >= self._limits.max_strangers:
            strangers[0].drop("it is a stranger, and others came")
        accepted = Accepted(link, peer, channel, self._accept, self._forget)
        self._members[accepted] = None
        try:
            accepted.start()
        except RuntimeError as error:
            self._forget(accepted)
            return f"{error}"
        return ""

    def _forget(self, accepted: Accepted) -> None:
        self._members.pop(accepted, None)

    async def _who(self, message: Msg) -> None:
        frame, link = decode(message.data), self._link
        if frame is None or frame.kind is not Kind.WHO or link is None or self._closing.is_set():
            return
        if is_id(sender := frame.data.decode("ascii", "replace")):
            here = Frame(Kind.HERE, frame.channel, data=f"{self._address.name} {self._id}".encode())
            link.tell(sender, here)

    # In any

    def close(self, drain_timeout: float) -> None:
        """See :meth:`fly_orm.transport.Server.close`. In a forked process it does nothing."""
        if os.getpid() != self._pid:
            return
        with self._close_lock:
            if not self._closing.is_set():
                self._closing.set()
                self._lost.set()
                self._stop(Deadline.after(drain_timeout))

    def _stop(self, deadline: Deadline) -> None:
        self._thread.join(LISTEN_TIMEOUT)  # it does not listen again after this
        link = self._link
        if link is not None:
            with suppress(LinkDown, FutureTimeout, *FAILURES):
                link.run(self._stop_accepting).result(LISTEN_TIMEOUT)
        members = list(self._members)
        for accepted in members:
            accepted.join(deadline)
        self._settle(deadline)
        for accepted in members:
            accepted.disconnect()
            accepted.report_gone()
        last = Deadline.after(_JOIN_TIMEOUT)
        for accepted in members:
            accepted.join(last)

    def _settle(self, deadline: Deadline) -> None:
        """If there is time, NATS has taken the last replies, so that the process may end."""
        link, remaining = self._link, deadline.within(MESSAGE_TIMEOUT).remaining()
        if link is None or not remaining:
            return
        with suppress(LinkDown, *FAILURES):
            settling = link.run(Link.settle, remaining)
            try:
                settling.result(remaining)
            except FutureTimeout:
                settling.cancel()

    async def _stop_accepting(self, link: Link) -> None:
        self._declining = True
        for accepted in list(self._members):
            accepted.drain()
        await self._unsubscribe(link)
        await link.settle()
