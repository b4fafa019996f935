"""The accepting side: a thread that accepts, and one that watches the peers of requests being answered."""

from __future__ import annotations

import logging
import os
import selectors
import socket
import threading

from fly_orm.transport import Accept, Deadline, abandon_in_children

from .addresses import Address
from .connection import Connection
from .roster import Roster
from .sockets import tune
from .wire import Link

log = logging.getLogger(__name__)

#: How often the server looks whether a peer has gone whose request it is answering, in seconds.
WATCH_INTERVAL = 0.25
#: A thread that has been disconnected, or whose responder was told that the peer is gone, ends within so many seconds.
_JOIN_TIMEOUT = 2.0
#: The pause after a failed accept, such as one for want of file descriptors, in seconds.
_ACCEPT_PAUSE = 0.1


class Pyro5Server:
    """A listening server. See :class:`fly_orm.transport.Server`."""

    def __init__(self, host: str, listeners: list[socket.socket], accept: Accept) -> None:
        self._address = str(Address(host=host, port=listeners[0].getsockname()[1]))
        self._listeners = listeners
        self._accept = accept
        self._pid = os.getpid()
        self._full = False
        self._roster: Roster[Connection] = Roster()
        self._closing = threading.Event()
        self._close_lock = threading.Lock()
        self._wake, self._woken = socket.socketpair()
        self._threads = [
            threading.Thread(target=self._accept_all, name=f"fly-orm-pyro5 accept {self._address}", daemon=True),
            threading.Thread(target=self._watch, name=f"fly-orm-pyro5 watch {self._address}", daemon=True),
        ]
        abandon_in_children(self)
        for thread in self._threads:
            thread.start()

    @property
    def address(self) -> str:
        """The address as it was given, with the port that was really bound."""
        return self._address

    def _accept_all(self) -> None:
        with selectors.DefaultSelector() as selector:
            for sock in [*self._listeners, self._woken]:
                selector.register(sock, selectors.EVENT_READ)
            while not self._closing.is_set():
                for key, _ in selector.select():
                    if key.fileobj is not self._woken:
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
        connection = Connection(Link(sock), peer, self._accept, self._roster)
        if not self._admit(connection, peer):
            sock.close()
            return
        try:
            tune(sock)
            connection.start()
        except (OSError, RuntimeError) as error:
            log.warning("refusing %s: %s", peer, error)
            self._roster.leave(connection)
            sock.close()

    def _admit(self, connection: Connection, peer: str) -> bool:
        admitted = self._roster.admit(connection)
        if not admitted and not self._full:  # said once, or strangers could fill the disk with it
            log.warning("refusing %s and further peers: %s has all the connections it may have", peer, self._address)
        self._full = not admitted
        return admitted

    def _watch(self) -> None:
        while not self._closing.wait(WATCH_INTERVAL):
            for connection in self._roster.members():
                connection.notice_peer(_report_gone)

    def close(self, drain_timeout: float) -> None:
        """See :meth:`fly_orm.transport.Server.close`. In a forked process it does nothing."""
        if os.getpid() != self._pid:
            return
        with self._close_lock:
            if not self._closing.is_set():
                # Before nobody can connect any more, idle connections take no new request either.
                for connection in self._roster.members():
                    connection.drain()
                self._stop_accepting()
                self._drain(Deadline.after(drain_timeout))

    def _stop_accepting(self) -> None:
        self._closing.set()
        self._wake.send(b"x")
        for thread in self._threads:
            thread.join()
        for sock in [*self._listeners, self._wake, self._woken]:
            sock.close()

    def _drain(self, deadline: Deadline) -> None:
        connections = self._roster.members()
        for connection in connections:
            connection.drain()
        for connection in connections:
            connection.join(deadline)
        for connection in connections:
            connection.disconnect()
            connection.report_gone()
        last = Deadline.after(_JOIN_TIMEOUT)
        for connection in connections:
            connection.join(last)

    def abandon(self) -> None:
        """The sockets are closed in this forked process only (as links close theirs); the parent goes on serving."""
        for sock in [*self._listeners, self._wake, self._woken]:
            sock.close()


def _report_gone(connection: Connection) -> None:
    # On a thread of its own: what the responder does then, such as cancelling SQL, must not delay the other peers.
    try:
        threading.Thread(target=connection.report_gone, name="fly-orm-pyro5 gone", daemon=True).start()
    except RuntimeError:  # no more threads to be had
        connection.report_gone()
