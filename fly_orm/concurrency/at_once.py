"""System calls on sockets that return at once, made without releasing the interpreter's lock.

Python releases the lock for each system call, as most of them may wait. While other threads wait for the lock, that
wakes one of them: a switch of threads for a call of two microseconds, whether or not the other one gets the lock. The
calls here never wait, and keep it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket

#: Lets a call return instead of wait; 0 where the system does not have it, so that nothing here may be used.
AT_ONCE = int(getattr(socket, "MSG_DONTWAIT", 0))
_PEEK = int(socket.MSG_PEEK) | AT_ONCE
_NOTHING = (errno.EAGAIN, errno.EWOULDBLOCK)

_system = ctypes.PyDLL(None, use_errno=True)
_send, _receive = _system.send, _system.recv
_send.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
_receive.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_send.restype = _receive.restype = ctypes.c_ssize_t
_byte = ctypes.create_string_buffer(1)
_AT = ctypes.addressof(_byte)


def send(descriptor: int, data: bytes, flags: int = 0) -> int:
    """How many bytes of a short message the system has taken; BlockingIOError if none, and what ``send()`` raises."""
    sent: int = _send(descriptor, data, len(data), flags | AT_ONCE)
    if sent < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return sent


def is_silent(descriptor: int) -> bool:
    """Whether a socket is connected, as far as this end knows, and nothing has arrived that is to be read."""
    return bool(_receive(descriptor, _AT, 1, _PEEK) < 0 and ctypes.get_errno() in _NOTHING)
