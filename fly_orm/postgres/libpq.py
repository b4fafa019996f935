"""What psycopg2 does not offer, or does not do from another thread or while the server is out of reach."""

from __future__ import annotations

import ctypes
import os
import select
import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from typing import Any

import psycopg2
from psycopg2 import _psycopg

from ..concurrency import at_once

_MESSAGE_BYTES = 256
#: libpq's PQnoticeProcessor (Postgres manual, "Notice Processing").
_NOTICE_PROCESSOR = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)


@cache
def _libpq() -> Any:
    """The libpq that the driver is linked with; None if its functions cannot be called from here."""
    try:
        library = ctypes.CDLL(_psycopg.__file__)
        library.PQgetCancel.restype = ctypes.c_void_p
        library.PQgetCancel.argtypes = [ctypes.c_void_p]
        library.PQcancel.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
        library.PQfreeCancel.argtypes = [ctypes.c_void_p]
        library.PQexec.restype = ctypes.c_void_p
        library.PQexec.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        library.PQclear.argtypes = [ctypes.c_void_p]
        library.PQsetNoticeProcessor.restype = ctypes.c_void_p
        library.PQsetNoticeProcessor.argtypes = [ctypes.c_void_p] * 3
    except (OSError, AttributeError):
        return None
    return library


def cancel(connection: Any) -> None:
    """Cancel what runs on a driver connection; returns when the server has received that, or cannot be reached.

    psycopg2's own ``cancel()`` holds the interpreter's lock while it connects to the server, and so stops every thread
    of the process. Any thread may call, but not while the connection is being closed.
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


def execute_unnoticed(connection: Any, sql: str) -> None:
    """Execute a statement on an idle driver connection, for which the driver begins no transaction.

    psycopg2 would, in a ``with connection:`` block even in autocommit. Errors are ignored: if the connection is lost,
    the next statement fails. Does nothing where libpq cannot be called from here.
    """
    library = _libpq()
    if library is not None:
        library.PQclear(library.PQexec(connection.pgconn_ptr, sql.encode()))


@contextmanager
def notices_to(connection: Any, take: Callable[[bytes], None]) -> Iterator[None]:
    """A block in which ``take`` is called with each notice, at once, on the thread that executes a statement.

    They do not reach the driver. Does nothing where libpq cannot be called from here.
    """
    library = _libpq()
    if library is None:
        yield
        return
    processor = _NOTICE_PROCESSOR(lambda _argument, text: take(text))
    drivers = library.PQsetNoticeProcessor(connection.pgconn_ptr, ctypes.cast(processor, ctypes.c_void_p), None)
    try:
        yield
    finally:  # psycopg2 passes the connection to its own (conn_setup in connection_int.c)
        library.PQsetNoticeProcessor(connection.pgconn_ptr, drivers, id(connection))


def has_input(connection: Any) -> bool:
    """Whether the server has sent something on a driver connection; on an idle one, that is mostly its end."""
    # select() does not accept file descriptors above 1023.
    with getattr(selectors, "PollSelector", selectors.SelectSelector)() as selector:
        selector.register(connection, selectors.EVENT_READ)
        return bool(selector.select(0))


def silence_check(connection: Any) -> Callable[[], bool]:
    """What tells, again and again at little cost, whether :func:`has_input` is false of this connection.

    It may not be called once the connection is closed: its descriptor may be another file's by then.
    """
    if not at_once.AT_ONCE:
        return lambda: not has_input(connection)
    return partial(at_once.is_silent, connection.fileno())


def has_hung_up(connection: Any) -> bool:
    """Whether the server has closed a driver connection, even if more of what it has sent is to be read.

    False where the system cannot tell. Any thread may call.
    """
    if not hasattr(select, "POLLRDHUP"):
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLRDHUP)
    return bool(poll.poll(0))


def was_lost(connection: Any) -> bool:
    """Whether an idle driver connection has lost its server, as far as this process has heard of it."""
    if connection.closed:
        return True
    return has_hung_up(connection) if hasattr(select, "POLLRDHUP") else has_input(connection)


def break_off(connection: Any) -> None:
    """End a driver connection, from any thread: a thread that waits for the server fails at once."""
    # To close the socket here would not wake a thread that waits in libpq, and another file could get its number while
    # libpq still uses it. A shutdown affects every duplicate of the descriptor, and libpq reads the end of the stream.
    with suppress(OSError, psycopg2.Error), socket.socket(fileno=os.dup(connection.fileno())) as shared:
        shared.shutdown(socket.SHUT_RDWR)
