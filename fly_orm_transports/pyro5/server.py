"""The accepting side: one thread accepts, and another watches the peers of requests that are being answered."""

from __future__ import annotations

import logging
import os
import selectors
import socket
import threading

from fly_orm.transport import Accept, Deadline, abandon_in_children

from .addresses import Address
from .connection import Connection
from .connection_table import ConnectionTable
from .options import Pyro5Options
from .sockets import tune
from .wire import MessageStream

log = logging.getLogger(__name__)

#: How often the server checks whether the peer of a request that it is answering is still there, in seconds.
WATCH_INTERVAL = 0.25
#: Seconds to wait for the threads of connections that were ended, and whose responders know that the peer is gone.
_JOIN_TIMEOUT = 2.0
#: Seconds to pause after a failed accept, for instance when no file descriptor is left.
_ACCEPT_PAUSE = 0.1


class Pyro5Server:
    """A listening server. See :class:`fly_orm.transport.Server`."""

    def __init__(self, host: str, listeners: list[socket.socket], accept: Accept, options: Pyro5Options) -> None:
        self._address = str(Address(host=host, port=listeners[0].getsockname()[1]))
        self._listeners = listeners
        self._accept = accept
        self._pid = os.getpid()
        self._full = False
        self._table: ConnectionTable[Connection] = ConnectionTable(options)
        self._closing = threading.Event()
        self._close_lock = threading.Lock()
        self._wakeup_writer, self._wakeup_reader = socket.socketpair()
        self._threads = [
            threading.Thread(target=self._accept_all, name=f"fly-orm-pyro5 accept {self._address}", daemon=True),
            threading.Thread(target=self._watch, name=f"fly-orm-pyro5 watch {self._address}", daemon=True),
        ]
        abandon_in_children(self)
        for thread in self._threads:
            thread.start()

    @property
    def address(self) -> str:
        """The address as it was given, with the port that was actually bound."""
        return self._address

    def _accept_all(self) -> None:
        with selectors.DefaultSelector() as selector:
            for sock in [*self._listeners, self._wakeup_reader]:
                selector.register(sock, selectors.EVENT_READ)
            while not self._closing.is_set():
                for key, _ in selector.select():
                    if key.fileobj is not self._wakeup_reader:
                        self._accept_one(key.fileobj)  # type: ignore[arg-type]  # a socket, as registered

    def _accept_one(self, listener: socket.socket) -> None:
        try:
            sock, peer = listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            log.warning("cannot accept a connection at %s: %s", self._address, error)
            self._closing.wait(_ACCEPT_PAUSE)
            return
        self._start(sock, str(Address(host=peer[0].removeprefix("::ffff:"), port=peer[1])))

    def _start(self, sock: socket.socket, peer: str) -> None:
        connection = Connection(MessageStream(sock), peer, self._accept, self._table)
        if not self._admit(connection, peer):
            sock.close()
            return
        try:
            tune(sock)
            connection.start()
        except (OSError, RuntimeError) as error:
            log.warning("refusing %s: %s", peer, error)
            self._table.remove(connection)
            sock.close()

    def _admit(self, connection: Connection, peer: str) -> bool:
        admitted = self._table.admit(connection)
        if not admitted and not self._full:  # logged once, or strangers could fill the disk with it
            log.warning("refusing %s and further peers: %s has all the connections it may have", peer, self._address)
        self._full = not admitted
        return admitted

    def _watch(self) -> None:
        while not self._closing.wait(WATCH_INTERVAL):
            for connection in self._table.snapshot():
                connection.check_peer(_report_gone)

    def close(self, drain_timeout: float) -> None:
        """See :meth:`fly_orm.transport.Server.close`. In a forked process it does nothing."""
        if os.getpid() != self._pid:
            return
        with self._close_lock:
            if not self._closing.is_set():
                # Idle connections end first: a peer that can no longer connect must not get a request in over one.
                for connection in self._table.snapshot():
                    connection.drain()
                self._stop_accepting()
                self._drain(Deadline.after(drain_timeout))

    def _stop_accepting(self) -> None:
        self._closing.set()
        self._wakeup_writer.send(b"x")
        for thread in self._threads:
            thread.join()
        self._close_sockets()

    def _drain(self, deadline: Deadline) -> None:
        connections = self._table.snapshot()
        for connection in connections:
            connection.drain()
        for connection in connections:
            connection.wait_until_ended(deadline)
        for connection in connections:
            connection.disconnect()
            connection.report_gone()
        last = Deadline.after(_JOIN_TIMEOUT)
        for connection in connections:
            connection.join(last)

    def _close_sockets(self) -> None:
        for sock in [*self._listeners, self._wakeup_writer, self._wakeup_reader]:
            sock.close()

    def abandon(self) -> None:
        """Close the server's sockets in this forked process only, as streams close theirs; the parent goes on."""
        self._close_sockets()


def _report_gone(connection: Connection) -> None:
    # On a thread of its own: what the responder does then, such as cancelling SQL, must not delay the other peers.
    try:
        threading.Thread(target=connection.report_gone, name="fly-orm-pyro5 gone", daemon=True).start()
    except RuntimeError:  # the system grants no more threads
        connection.report_gone()
