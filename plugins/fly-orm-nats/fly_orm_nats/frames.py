"""What is sent between two processes: a fixed header, then data.

A message (a request or a reply) travels in chunks, as NATS carries no more than its ``max_payload`` at once. Each says
how long the whole message is and where in it the chunk belongs.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

#: What both ends have to speak; raised by every incompatible change.
VERSION = b"fly_orm/1"
#: The most data in one chunk, so that a long message does not hold up the short ones for long.
CHUNK_BYTES = 256 * 1024
#: How much of a message may be on its way before the receiver has acknowledged some: what the memory of NATS servers
#: bears, which disconnect who has 64 MiB waiting for it.
WINDOW_BYTES = 1024 * 1024

_HEADER = struct.Struct("!B8sIII")


class Kind(IntEnum):
    """What a frame says."""

    OPEN = 1
    OPENED = 2
    BUSY = 3
    REQUEST = 4
    REPLY = 5
    REQUEST_ACK = 6
    REPLY_ACK = 7
    CLOSED_BY_CALLER = 8
    CLOSED_BY_NODE = 9
    NO_CHANNEL = 10
    """The chunk of a request reached a process that does not know its channel, so the request is not executed."""
    ALIVE = 11
    WHO = 12
    HERE = 13


#: Frames to the end of a channel that is at the node; those to the other end are the rest.
TO_NODE = frozenset({Kind.REQUEST, Kind.REPLY_ACK, Kind.CLOSED_BY_CALLER})


def closed_by(at_node: bool) -> Kind:
    """What the end at the node, or at the caller, says when it is over."""
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
        return _HEADER.pack(self.kind, self.channel, self.seq, self.total, self.offset) + self.data


def decode(payload: bytes) -> Frame | None:
    """The frame, or None if it is none."""
    try:
        kind, channel, seq, total, offset = _HEADER.unpack_from(payload)
        return Frame(Kind(kind), channel, seq, total, offset, payload[_HEADER.size :])
    except (struct.error, ValueError):
        return None


def chunks(kind: Kind, channel: bytes, seq: int, message: bytes, max_payload: int) -> Iterator[Frame]:
    """The frames that a message is sent in, of which an empty one has one too."""
    size = max(1, min(CHUNK_BYTES, max_payload - _HEADER.size))
    for offset in range(0, max(1, len(message)), size):
        yield Frame(kind, channel, seq, len(message), offset, message[offset : offset + size])


class Broken(Exception):
    """What came is no part of one message of an allowed size."""


class Assembly:
    """Puts the chunks of one message together. Memory grows with what arrives, not with what was announced."""

    def __init__(self) -> None:
        self._seq = 0
        self._data = bytearray()
        self._acknowledged = 0

    def add(self, frame: Frame, max_bytes: int) -> bytes | None:
        """The whole message, with its last chunk, or None; Broken if this is not its next chunk, or it is too long."""
        if frame.offset == 0 and not self._data:
            self._seq = frame.seq
        if frame.seq != self._seq or frame.offset != len(self._data):
            raise Broken("a part of a message is missing")
        if frame.total > max_bytes:
            raise Broken(f"it has {frame.total} bytes, and {max_bytes} are allowed")
        self._data += frame.data
        if len(self._data) > frame.total or (not frame.data and frame.total):
            raise Broken("its parts are longer than the message")
        if len(self._data) < frame.total:
            return None
        whole = bytes(self._data)
        self._data.clear()
        self._acknowledged = 0
        return whole

    def due(self) -> int:
        """How many bytes to acknowledge now; 0 for not yet."""
        if len(self._data) - self._acknowledged < WINDOW_BYTES // 2:
            return 0
        self._acknowledged = len(self._data)
        return self._acknowledged
