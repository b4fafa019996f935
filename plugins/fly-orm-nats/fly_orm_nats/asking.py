"""Asking for a channel at an address, of which NATS picks one of the nodes that serve it."""

from __future__ import annotations

import asyncio
import os
from functools import partial

from fly_orm.errors import NotDelivered
from fly_orm.transport import Deadline

from .caller import CallerEnd
from .frames import VERSION, Frame, Kind
from .link import Link, LinkDown
from .subjects import Address, inbox

#: Seconds after which another node is asked as well. One that hangs keeps its share of the invitations until NATS gives
#: its connection up, which takes minutes. About once around the world: who is far away is asked twice, to no harm.
PATIENCE = 0.4
#: So many nodes may decline.
_MAX_DECLINED = 4


async def ask_for_channel(link: Link, address: Address, deadline: Deadline) -> CallerEnd:
    """The end of a new channel to a node at the address. NotDelivered if there is none in time; LinkDown."""
    asking = _Asking(link, address)
    try:
        return await asking.ask(deadline)
    finally:
        asking.withdraw()


class _Asking:
    """Invitations, the first of which that is accepted counts; the link closes the channels of the others."""

    def __init__(self, link: Link, address: Address) -> None:
        self._link, self._address = link, address
        self._numbers: list[bytes] = []
        self._answers: asyncio.Queue[tuple[bytes, str, Frame | None]] = asyncio.Queue()
        self._declined: list[str] = []

    async def ask(self, deadline: Deadline) -> CallerEnd:
        while len(self._declined) < _MAX_DECLINED and not deadline.expired:
            await self._invite()
            try:
                answer = await asyncio.wait_for(self._answers.get(), deadline.within(PATIENCE).remaining())
            except asyncio.TimeoutError:
                continue
            if (end := self._judge(*answer)) is not None:
                return end
        problems = self._declined or self._link.complaints[-1:] or ["no node has answered"]
        raise NotDelivered(
            f"cannot connect to {self._address} within {deadline}: {', '.join(dict.fromkeys(problems))}",
            address=str(self._address),
        )

    async def _invite(self) -> None:
        number = os.urandom(8)
        self._numbers.append(number)
        self._link.answers[number] = partial(self._take, number)
        frame = Frame(Kind.OPEN, number, data=b" ".join((VERSION, self._link.id.encode())))
        answer = inbox(self._link.id, "0", number.hex())
        await self._link.publish_to(self._address.subject, frame.encode(), answer)

    def _take(self, number: bytes, peer: str, frame: Frame | None) -> None:
        self._answers.put_nowait((number, peer, frame))
        if frame is not None:
            self._link.answers.pop(number, None)

    def _judge(self, number: bytes, peer: str, answer: Frame | None) -> CallerEnd | None:
        if answer is None and self._link.ended:
            raise LinkDown(self._link.why)
        if answer is None:
            raise NotDelivered(f"cannot connect to {self._address}: nobody serves it", address=str(self._address))
        if answer.kind is Kind.BUSY:
            self._declined.append(f"a node declined: {answer.data.decode(errors='replace')}")
            return None
        return CallerEnd(self._link, peer, number)

    def withdraw(self) -> None:
        """No further answer counts, nor one that has come and was not looked at."""
        for number in self._numbers:
            self._link.answers.pop(number, None)
        while not self._answers.empty():
            number, peer, frame = self._answers.get_nowait()
            if frame is not None and not self._link.ended:
                self._link.tell(peer, Frame(Kind.CLOSED_BY_CALLER, number))
