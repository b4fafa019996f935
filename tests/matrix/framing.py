"""Where one message ends and the next begins, in the protocols that the links of the matrix carry.

Each function returns the length of the first message in a buffer, or None while that cannot be told. ``before`` is the
number of messages that have gone the same way already.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

Framing = Callable[[bytearray, int], int | None]

_PYRO5_HEADER_BYTES = 40
_PYRO5_SIZE = struct.Struct("!12xI")
_LENGTH = struct.Struct("!I")
_NATS_WITH_PAYLOAD = (b"PUB ", b"HPUB ", b"MSG ", b"HMSG ")


def pyro5(data: bytearray, before: int) -> int | None:
    """A header with the length of what follows it, as fly_orm_transports/pyro5/wire.py makes it."""
    if len(data) < _PYRO5_HEADER_BYTES:
        return None
    (size,) = _PYRO5_SIZE.unpack_from(data)
    return _PYRO5_HEADER_BYTES + int(size)


def nats(data: bytearray, before: int) -> int | None:
    """A line, and the payload that some kinds of line announce with their last word."""
    line, found, _ = data.partition(b"\r\n")
    if not found:
        return None
    payload = int(line.split()[-1]) + 2 if line.startswith(_NATS_WITH_PAYLOAD) else 0
    return len(line) + 2 + payload


def from_postgres(data: bytearray, before: int) -> int | None:
    """A letter, and a length that does not count the letter (Postgres manual, "Message Formats")."""
    return None if len(data) < 5 else 1 + int(_LENGTH.unpack_from(data, 1)[0])


def to_postgres(data: bytearray, before: int) -> int | None:
    """The same, but the first message has no letter."""
    if before:
        return from_postgres(data, before)
    return None if len(data) < 4 else int(_LENGTH.unpack_from(data)[0])
