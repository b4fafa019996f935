"""Opening a channel: the caller asks at an address, and NATS picks one of the nodes that serve it."""

from __future__ import annotations

import asyncio
import os
from functools import partial

from fly_orm.errors import NotDelivered
from fly_orm.transport import Deadline

from .caller_end import CallerEnd
from .connection import ConnectionLost, NatsConnection
from .frames import VERSION, Frame, Kind
from .subjects import Address, inbox

#: Seconds after which another node is asked as well. NATS keeps choosing a node that hangs until it closes that
#: node's connection, which takes minutes. This is about a round trip around the world: asking a distant node twice does
#: no harm.
PATIENCE = 0.4
#: Nodes that may decline before the caller gives up.
_MAX_DECLINED = 4


async def open_channel(connection: NatsConnection, address: Address, deadline: Deadline) -> CallerEnd:
    """The caller's end of a new channel to a node at the address.

    NotDelivered if no node opens one by the deadline; ConnectionLost if the connection ends.
    """
    opening = _Opening(connection, address)
    try:
        return await opening.run(deadline)
    finally:
        opening.withdraw()


class _Opening:
    """Questions for a channel. The first acceptance counts; the channels of later ones are closed."""

    def __init__(self, connection: NatsConnection, address: Address) -> None:
        self._connection, self._address = connection, address
        self._numbers: list[bytes] = []
        self._answers: asyncio.Queue[tuple[bytes, str, Frame | None]] = asyncio.Queue()
        self._declined: list[str] = []

    async def run(self, deadline: Deadline) -> CallerEnd:
        while len(self._declined) < _MAX_DECLINED and not deadline.expired:
            await self._ask()
            try:
                answer = await asyncio.wait_for(self._answers.get(), deadline.within(PATIENCE).remaining())
            except asyncio.TimeoutError:
                continue
            if (end := self._judge(*answer)) is not None:
                return end
        problems = self._declined or self._connection.permission_errors[-1:] or ["no node has answered"]
        raise NotDelivered(
            f"cannot connect to {self._address} within {deadline}: {', '.join(dict.fromkeys(problems))}",
            address=str(self._address),
        )

    async def _ask(self) -> None:
        number = os.urandom(8)
        self._numbers.append(number)
        self._connection.reply_handlers[number] = partial(self._receive, number)
        frame = Frame(Kind.OPEN, number, data=b" ".join((VERSION, self._connection.id.encode())))
        reply = inbox(self._connection.id, "0", number.hex())
        await self._connection.publish_to(self._address.subject, frame.encode(), reply)

    def _receive(self, number: bytes, peer: str, frame: Frame | None) -> None:
        self._answers.put_nowait((number, peer, frame))
        if frame is not None:
            self._connection.reply_handlers.pop(number, None)

    def _judge(self, number: bytes, peer: str, answer: Frame | None) -> CallerEnd | None:
        if answer is None and self._connection.ended:
            raise ConnectionLost(self._connection.reason)
        if answer is None:
            raise NotDelivered(f"cannot connect to {self._address}: no node serves it", address=str(self._address))
        if answer.kind is Kind.BUSY:
            self._declined.append(f"a node declined: {answer.data.decode(errors='replace')}")
            return None
        return CallerEnd(self._connection, peer, number)

    def withdraw(self) -> None:
        """Take no further answer, and close the channels of those that have arrived and were not looked at."""
        for number in self._numbers:
            self._connection.reply_handlers.pop(number, None)
        while not self._answers.empty():
            number, peer, frame = self._answers.get_nowait()
            if frame is not None:
                self._connection.send_soon(peer, Frame(Kind.CLOSED_BY_CALLER, number))
