"""Messages of the Pyro5 protocol, right and wrong, and what became of a connection."""

from __future__ import annotations

import socket
import struct
import threading

import Pyro5.api
import Pyro5.protocol
import Pyro5.serializers
from Pyro5.protocol import SendingMessage

from fly_orm_transports.pyro5 import wire


def port_of(server):
    return int(server.address.rpartition(":")[2])


def message(kind, payload=b"", *, serializer=wire.SERIALIZER_ID, flags=0, annotations=None, size=None):
    data = bytearray(SendingMessage(kind, flags, 1, serializer, payload, annotations=annotations).data)
    data[8:10] = struct.pack("!H", flags)  # SendingMessage clears the flag for compression
    if size is not None:
        data[12:16] = struct.pack("!I", size)
    return bytes(data)


HELLO = message(wire.CONNECT, wire.HELLO)


def ended(sock):
    """Whether the peer has ended the connection within the socket's timeout."""
    try:
        while sock.recv(65536):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True


def greeted(sock):
    reply = sock.recv(40 + len(wire.HELLO), socket.MSG_WAITALL)
    assert Pyro5.protocol.ReceivingMessage(reply[:40]).type == wire.CONNECTED
    return sock


def drip(sock, data, interval=0.05):
    """Sends a byte at a time until it cannot."""

    def run():
        for byte in data:
            try:
                sock.sendall(bytes([byte]))
            except OSError:
                return
            if stopped.wait(interval):
                return

    stopped = threading.Event()
    thread = threading.Thread(target=run)
    thread.start()

    def stop():
        stopped.set()
        thread.join()

    return stop
