"""What comes to a process, passed on to who waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nats.aio.msg import Msg

from .frames import TO_NODE, Frame, Kind, closed_by, decode

if TYPE_CHECKING:
    from .link import Link


class Incoming:
    """Takes the messages of a link. For its thread only."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def take(self, message: Msg) -> None:
        """Pass a message on."""
        _, _, _, sender, *answer = message.subject.split(".")
        if message.headers and message.headers.get("Status") == "503":
            self._nobody(sender, answer)
            return
        frame = decode(message.data)
        if frame is None:
            return
        if frame.channel in self._link.answers and frame.kind in (Kind.OPENED, Kind.BUSY, Kind.HERE):
            self._link.answers[frame.channel](sender, frame)
        elif frame.kind is Kind.OPENED:  # too late
            self._link.tell(sender, Frame(Kind.CLOSED_BY_CALLER, frame.channel))
        else:
            self._pass_on(sender, frame)

    def _pass_on(self, sender: str, frame: Frame) -> None:
        at_node = frame.kind in TO_NODE
        end = self._link.peers.hear(sender, at_node, frame.channel)
        if end is not None:
            end.take(frame)
        elif frame.kind is Kind.REQUEST:
            self._link.tell(sender, Frame(Kind.NO_CHANNEL, frame.channel, frame.seq))
        elif frame.kind in (Kind.REPLY, Kind.REQUEST_ACK, Kind.REPLY_ACK):
            self._link.tell(sender, Frame(closed_by(at_node), frame.channel))

    def _nobody(self, sender: str, answer: list[str]) -> None:
        """NATS says that what was sent reached nobody."""
        if len(answer) == 1:  # it was an invitation, to whoever is there
            waiting = self._link.answers.get(_number(answer[0]))
            if waiting is not None:
                waiting("", None)
            return
        if len(answer) == 2:  # it was a part of a request
            end = self._link.peers.end(sender, False, _number(answer[0]))
            if end is not None:
                end.undelivered(int(answer[1]))
        self._link.peers.lose(sender, "the other process has ended, or has lost its connection to NATS")


def _number(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
