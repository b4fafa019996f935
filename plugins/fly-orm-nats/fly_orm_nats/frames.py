"""What two processes send each other: frames of a fixed header and data.

A message (a request or a reply) travels in chunks, since NATS carries no more than its ``max_payload`` at once. Each
chunk states the length of the whole message, and its own offset in it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

#: What both ends have to speak; every incompatible change raises it.
VERSION = b"fly_orm/1"
#: The most data in one chunk, so that a long message does not delay short ones for long.
CHUNK_BYTES = 256 * 1024
#: How much of a message may be in transit before the receiver has acknowledged some of it. A NATS server has to buffer
#: that much, and disconnects a client that has 64 MiB waiting for it.
WINDOW_BYTES = 1024 * 1024

_HEADER = struct.Struct("!B8sIII")


class Kind(IntEnum):
    """What a frame says."""

    OPEN = 1
    """A caller asks for a channel."""
    OPENED = 2
    BUSY = 3
    """A node declines to open a channel; the data says why."""
    REQUEST = 4
    REPLY = 5
    REQUEST_ACK = 6
    REPLY_ACK = 7
    CLOSED_BY_CALLER = 8
    CLOSED_BY_NODE = 9
    """Its ``seq`` is that of the first request that the node does not execute; 0 if the node does not say."""
    NO_CHANNEL = 10
    """A chunk of a request reached a process that does not know its channel, so the request is not executed."""
    ALIVE = 11
    """A heartbeat."""
    WHO = 12
    """The discovery asks which nodes there are."""
    HERE = 13
    """A node answers that."""


#: Frames for the node's end of a channel. All others are for the caller's end.
TO_NODE = frozenset({Kind.REQUEST, Kind.REPLY_ACK, Kind.CLOSED_BY_CALLER})


def closed_by(at_node: bool) -> Kind:
    """The frame by which the node's end, or the caller's, says that it has closed the channel."""
    return Kind.CLOSED_BY_NODE if at_node else Kind.CLOSED_BY_CALLER


@dataclass(frozen=True)
class Frame:
    """One frame. ``total`` and ``offset`` are bytes of the whole message."""

    kind: Kind
    channel: bytes = bytes(8)
    seq: int = 0
    total: int = 0
    offset: int = 0
    data: bytes = b""

    def encode(self) -> bytes:
        """The frame as the payload of a NATS message."""
        return _HEADER.pack(self.kind, self.channel, self.seq, self.total, self.offset) + self.data


def decode(payload: bytes) -> Frame | None:
    """The frame in a payload; None if the payload is not a frame."""
    try:
        kind, channel, seq, total, offset = _HEADER.unpack_from(payload)
        return Frame(Kind(kind), channel, seq, total, offset, payload[_HEADER.size :])
    except (struct.error, ValueError):
        return None


def chunks(kind: Kind, channel: bytes, seq: int, message: bytes, max_payload: int) -> Iterator[Frame]:
    """The frames that carry a message; an empty message has one as well."""
    size = max(1, min(CHUNK_BYTES, max_payload - _HEADER.size))
    for offset in range(0, max(1, len(message)), size):
        yield Frame(kind, channel, seq, len(message), offset, message[offset : offset + size])


class MalformedMessage(Exception):
    """A chunk that is not the next part of one message of an allowed size."""


class Assembly:
    """Puts the chunks of one message together. Memory grows with what arrives, not with the announced size."""

    def __init__(self) -> None:
        self._seq = 0
        self._data = bytearray()
        self._acknowledged = 0

    def add(self, frame: Frame, max_bytes: int) -> bytes | None:
        """The whole message if this is its last chunk, else None.

        MalformedMessage if it is not the next chunk, or if the message is longer than ``max_bytes``.
        """
        if frame.offset == 0 and not self._data:
            self._seq = frame.seq
        if frame.seq != self._seq or frame.offset != len(self._data):
            raise MalformedMessage("a part of the message is missing")
        if frame.total > max_bytes:
            raise MalformedMessage(f"the message is {frame.total} bytes long, and {max_bytes} are allowed")
        self._data += frame.data
        if len(self._data) > frame.total or (not frame.data and frame.total):
            raise MalformedMessage("the parts do not add up to the length of the message")
        if len(self._data) < frame.total:
            return None
        whole = bytes(self._data)
        self._data.clear()
        self._acknowledged = 0
        return whole

    def bytes_to_acknowledge(self) -> int:
        """How many bytes of the message to acknowledge now; 0 if it is too early for that."""
        if len(self._data) - self._acknowledged < WINDOW_BYTES // 2:
            return 0
        self._acknowledged = len(self._data)
        return self._acknowledged
