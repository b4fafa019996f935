"""The ports that the browser connects to."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack

#: How many ports there are: the control room's, one for each region, and those of the applications without fly_orm.
COUNT = 6


class Unavailable(Exception):
    """A port cannot be used; the message says why, and what to do."""


def listening(host: str, first: int, undo: ExitStack) -> list[socket.socket]:
    """Sockets that listen at ``first`` and the ports after it; Unavailable if one of them cannot."""
    return [undo.enter_context(_listen(host, first + offset)) for offset in range(COUNT)]


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=128)
    except OverflowError:
        raise Unavailable(f"{port} is not a port; they end at 65535") from None
    except OSError as error:
        raise Unavailable(advice(host, port, error)) from None


def advice(host: str, port: int, error: OSError) -> str:
    """What to do about a port at which nobody can listen."""
    others = f"Choose {COUNT} other ports in a row, such as those from 9100 on: make example PORT=9100"
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use by another process. {others}"
    if error.errno == errno.EACCES:
        return f"this user may not listen at port {port}. {others}"
    return f"cannot listen at port {port} of {host}: {error.strerror or error}"
