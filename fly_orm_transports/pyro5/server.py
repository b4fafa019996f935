"""The accepting side: the lobby accepts, and a thread watches the peers of requests that are being answered."""

from __future__ import annotations

import logging
import os
import socket
import threading

from fly_orm.protocol.tls import Tls
from fly_orm.transport import Accept, Deadline, Latch, Turns, abandon_in_children

from .addresses import Address
from .connection import Connection
from .connection_table import ConnectionTable
from .lobby import Lobby
from .options import Pyro5Options
from .sockets import tune
from .stranger import Stranger
from .wire import MessageStream

log = logging.getLogger(__name__)

#: How often the server checks whether the peer of a request that it is answering is still there, in seconds.
WATCH_INTERVAL = 0.25
#: Seconds to wait for the threads of connections that were ended, and whose responders know that the peer is gone.
_JOIN_TIMEOUT = 2.0
#: Seconds to pause after a fault, which may last.
_FAULT_PAUSE = 1.0


class Pyro5Server:
    """A listening server. See :class:`fly_orm.transport.Server`."""

    def __init__(
        self,
        host: str,
        listeners: list[socket.socket],
        accept: Accept,
        options: Pyro5Options,
        tls: Tls | None,
        turns: Turns | None = None,
    ) -> None:
        """``turns`` are given if other processes accept connections at these sockets as well.

        OSError or RuntimeError if the system has no descriptor or thread left for it.
        """
        self._address = str(Address(host=host, port=listeners[0].getsockname()[1]))
        self._pid = os.getpid()
        self._turns = turns
        self._full = False
        self._table: ConnectionTable[Connection] = ConnectionTable(options.max_connections)
        self._lobby = Lobby(self._address, listeners, accept, options, tls, self._admit, turns)
        self._closing = Latch()
        self._close_lock = threading.Lock()
        self._watcher = threading.Thread(target=self._watch, name=f"fly-orm-pyro5 watch {self._address}", daemon=True)
        abandon_in_children(self)
        try:
            self._lobby.start()
            self._watcher.start()
        except RuntimeError:
            self._lobby.close()
            raise

    @property
    def address(self) -> str:
        """The address as it was given, with the port that was actually bound."""
        return self._address

    def _admit(self, stranger: Stranger) -> None:
        """Give a peer that has proven itself a place and a thread."""
        assert stranger.responder is not None  # noqa: S101 - otherwise the peer could not have proven anything
        stream = MessageStream(stranger.sock, stranger.take_unread())
        connection = Connection(stream, stranger, stranger.responder, self._table)
        if problem := self._start(connection, stranger.sock):
            if not self._full:  # logged once, or a crowd could fill the disk with it
                log.warning(
                    "refusing %s and further peers at %s: %s",
                    stranger.peer,
                    self._address,
                    problem,
                    extra={
                        "event": "peer_turned_away",
                        "peer": stranger.peer,
                        "address": self._address,
                        "problem": problem,
                    },
                )
            connection.turn_away()
        self._full = bool(problem)

    def _start(self, connection: Connection, sock: socket.socket) -> str:
        """Start the connection; returns what prevents that, or an empty text."""
        if not self._table.admit(connection):
            return "there are all the connections that there may be"
        try:
            tune(sock)
            connection.start()
        except (OSError, RuntimeError) as error:  # the peer has left, or the system grants no more threads
            self._table.remove(connection)
            return str(error)
        return ""

    def _watch(self) -> None:
        while not self._closing.wait(WATCH_INTERVAL):
            try:
                self._look_at_connections()
            except Exception:  # those that are gone would not be noticed any more
                log.exception(
                    "cannot look at the connections of %s",
                    self._address,
                    extra={"event": "internal_error", "address": self._address},
                )
                self._closing.wait(_FAULT_PAUSE)

    def _look_at_connections(self) -> None:
        for connection in self._table.snapshot():
            connection.check_peer(_report_gone)
        if self._turns is not None and self._turns.exceeds(self._table.taken):
            self._table.let_one_go()

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
        self._lobby.close()
        self._watcher.join()

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

    def abandon(self) -> None:
        """Close the server's sockets in this forked process only, as streams close theirs; the parent goes on."""
        self._lobby.abandon()


def _report_gone(connection: Connection) -> None:
    # On a thread of its own: what the responder does then, such as cancelling SQL, must not delay the other peers.
    try:
        threading.Thread(target=connection.report_gone, name="fly-orm-pyro5 gone", daemon=True).start()
    except RuntimeError:  # the system grants no more threads
        connection.report_gone()
