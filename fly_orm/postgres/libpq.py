"""What can be done to a driver connection beside the driver, also when its server is out of reach."""

from __future__ import annotations

import ctypes
import os
import selectors
import socket
from contextlib import suppress
from functools import cache
from typing import Any

import psycopg2
from psycopg2 import _psycopg

_MESSAGE_BYTES = 256


@cache
def _libpq() -> Any:
    """The libpq that the driver is linked to; None if its functions cannot be called."""
    try:
        library = ctypes.CDLL(_psycopg.__file__)
        library.PQgetCancel.restype = ctypes.c_void_p
        library.PQgetCancel.argtypes = [ctypes.c_void_p]
        library.PQcancel.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
        library.PQfreeCancel.argtypes = [ctypes.c_void_p]
    except (OSError, AttributeError):
        return None
    return library


def cancel(connection: Any) -> None:
    """Cancel what runs on a driver connection; returns when the server has heard of it, or cannot be reached.

    The driver's own ``cancel()`` holds the interpreter's lock, and so stops every thread of the process until then. Any
    thread may call, while the connection is not being closed.
    """
    library = _libpq()
    if library is None:
        connection.cancel()
        return
    request = library.PQgetCancel(connection.pgconn_ptr)
    if request:
        try:
            library.PQcancel(request, ctypes.create_string_buffer(_MESSAGE_BYTES), _MESSAGE_BYTES)
        finally:
            library.PQfreeCancel(request)


def has_input(connection: Any) -> bool:
    """Whether there is something to read on a driver connection; on an idle one that is mostly its end."""
    # Not select(), which fails in a process with more than 1024 open files.
    with getattr(selectors, "PollSelector", selectors.SelectSelector)() as selector:
        selector.register(connection, selectors.EVENT_READ)
        return bool(selector.select(0))


def break_off(connection: Any) -> None:
    """End a driver connection from any thread: what waits for its server fails at once."""
    with suppress(OSError, psycopg2.Error), socket.socket(fileno=os.dup(connection.fileno())) as shared:
        shared.shutdown(socket.SHUT_RDWR)
