"""How much of a result libpq has taken in while another thread waits for it, as far as the system tells.

libpq keeps a result in memory until all of it has arrived, and psycopg2 offers no way to take it row by row except a
named cursor, which is not for all statements. So what arrives is measured from outside.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg2

#: Where ``tcp_info`` has the number of bytes received (linux/tcp.h, since Linux 4.1).
_RECEIVED_AT = 128
_NUMBER = struct.Struct("@Q")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
#: The minor page faults, in /proc/…/stat behind the name of the thread (proc_pid_stat(5)).
_FAULTS_FIELD = 7


def received_bytes(connection: Any, thread: int) -> int | None:
    """How many bytes a driver connection has received so far; None if the system does not tell.

    Only TCP counts them. For a Unix socket, it is a third of the memory that the thread in libpq, by its native id, has
    touched for the first time: a result takes one to three times its length.
    """
    with suppress(OSError, psycopg2.Error), socket.socket(fileno=os.dup(connection.fileno())) as shared:
        if shared.family == getattr(socket, "AF_UNIX", None):
            touched = _touched_bytes(thread)
            return None if touched is None else touched // 3
        info = shared.getsockopt(socket.IPPROTO_TCP, getattr(socket, "TCP_INFO", 0), _RECEIVED_AT + _NUMBER.size)
        if len(info) == _RECEIVED_AT + _NUMBER.size:
            return int(_NUMBER.unpack_from(info, _RECEIVED_AT)[0])
    return None


def _touched_bytes(thread: int) -> int | None:
    """How much memory a thread of this process has touched for the first time; None where the system does not tell."""
    try:
        stat = Path(f"/proc/self/task/{thread}/stat").read_bytes()
        return int(stat.rpartition(b")")[2].split()[_FAULTS_FIELD]) * _PAGE_BYTES
    except OSError:
        return None
