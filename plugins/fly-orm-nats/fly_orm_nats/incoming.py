"""Passes what arrives at a process to whatever waits for it."""

from __future__ import annotations

from collections.abc import Callable

from nats.aio.msg import Msg

from .frames import TO_NODE, Frame, Kind, closed_by, decode
from .peers import Peers, Send

#: Takes the sender and the frame of a reply; the frame is None if NATS says that nobody has received the question.
ReplyHandler = Callable[[str, Frame | None], None]


class Incoming:
    """The messages of one connection to NATS. For the connection's thread only."""

    def __init__(self, peers: Peers, reply_handlers: dict[bytes, ReplyHandler], send_soon: Send) -> None:
        self._peers = peers
        self._reply_handlers = reply_handlers
        self._send_soon = send_soon

    async def receive(self, message: Msg) -> None:
        """Pass a message on."""
        _, _, _, sender, *reference = message.subject.split(".")
        if message.headers and message.headers.get("Status") == "503":
            self._receive_no_responders(sender, reference)
            return
        frame = decode(message.data)
        if frame is None:
            return
        if frame.channel in self._reply_handlers and frame.kind in (Kind.OPENED, Kind.BUSY, Kind.HERE):
            self._reply_handlers[frame.channel](sender, frame)
        elif frame.kind is Kind.OPENED:  # too late: nobody needs the channel any more
            self._send_soon(sender, Frame(Kind.CLOSED_BY_CALLER, frame.channel))
        else:
            self._pass_on(sender, frame)

    def _pass_on(self, sender: str, frame: Frame) -> None:
        at_node = frame.kind in TO_NODE
        end = self._peers.hear(sender, at_node, frame.channel)
        if end is not None:
            end.receive(frame)
        elif frame.kind is Kind.REQUEST:
            self._send_soon(sender, Frame(Kind.NO_CHANNEL, frame.channel, frame.seq))
        elif frame.kind in (Kind.REPLY, Kind.REQUEST_ACK, Kind.REPLY_ACK):
            self._send_soon(sender, Frame(closed_by(at_node), frame.channel))

    def _receive_no_responders(self, sender: str, reference: list[str]) -> None:
        """NATS says that a message of ours has reached nobody; the reference says which one it was."""
        if len(reference) == 1:  # a question to whoever is there
            handler = self._reply_handlers.get(_number(reference[0]))
            if handler is not None:
                handler("", None)
            return
        if len(reference) == 2:  # a part of a request
            end = self._peers.find(sender, False, _number(reference[0]))
            if end is not None:
                end.request_undelivered(int(reference[1]))
        self._peers.lose(sender, "the other process has ended, or has lost its connection to NATS")


def _number(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
