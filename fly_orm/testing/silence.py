"""Lets the operating system ignore what reaches a TCP socket, as if the network had lost it."""

from __future__ import annotations

import asyncio.trsock
import ctypes
import socket
import struct
import sys

# Linux runs the filter of a socket before TCP sees a segment. Python does not name these options (socket(7)).
_ATTACH_FILTER, _DETACH_FILTER = 26, 27
#: The filter "return 0", which keeps no byte of a segment (linux/filter.h: BPF_RET | BPF_K).
_KEEP_NOTHING = struct.pack("@HBBI", 0x06, 0, 0, 0)

Socket = socket.socket | asyncio.trsock.TransportSocket


def ignore(connection: Socket) -> bool:
    """Drop what arrives at a socket from now on, so that the system acknowledges neither data nor keepalives.

    Returns whether the system can: only Linux has such filters, and may keep them to root. Unix sockets have no
    acknowledgements; for them this makes no difference.
    """
    if sys.platform != "linux":
        return False
    code = ctypes.create_string_buffer(_KEEP_NOTHING, len(_KEEP_NOTHING))
    try:
        connection.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("@HP", 1, ctypes.addressof(code)))
    except OSError:
        return False
    return True


def heed(connection: Socket) -> None:
    """Let through again what arrives at a socket that was ignored."""
    if sys.platform == "linux":
        connection.setsockopt(socket.SOL_SOCKET, _DETACH_FILTER, 0)


def possible() -> bool:
    """Whether :func:`ignore` has an effect for this process."""
    with socket.socket() as tried:
        return ignore(tried)
