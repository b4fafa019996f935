"""Where strangers wait: one thread accepts all connections, and serves them until their peers have proven themselves.

A stranger costs a file descriptor and a few hundred bytes, and no thread, so that many may wait at a time. As long as
a network takes fewer places than another one, it loses none: a flood from one address displaces only itself.
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from heapq import heappop, heappush
from typing import NamedTuple

from fly_orm.concurrency.descriptors import SHORTAGES, descriptor_limit
from fly_orm.deadline import now
from fly_orm.protocol.tls import Tls
from fly_orm.transport import Accept, Turns

from .addresses import Address
from .fair_queue import FairQueue
from .networks import network_of
from .options import Pyro5Options
from .shortage import Shortage, is_waited_for
from .stranger import Stranger
from .wire import FAILURES

log = logging.getLogger(__name__)

#: The most connections that are accepted in a row, before the strangers that are waiting get their turn.
_BATCH = 64
#: Seconds for which strangers are served before others are accepted. A handshake of TLS takes a tenth of that.
_TURN = 0.01
#: Seconds to pause if not even a stranger could make room for another connection.
_ACCEPT_PAUSE = 0.1
#: Seconds to pause after a fault, which may last.
_FAULT_PAUSE = 1.0
#: Seconds for which a connection is left to another process at first. Its lobby needs less than that, unless it hangs.
_PASS = 0.005


class _Turn(NamedTuple):
    """What to do when a socket is ready."""

    stranger: Stranger | None
    """Whose socket it is, if it is a stranger's."""
    act: Callable[[], None]


class Lobby:
    """The strangers of one server, and the thread that serves them. Any thread may call ``close``."""

    def __init__(
        self,
        address: str,
        listeners: list[socket.socket],
        accept: Accept,
        options: Pyro5Options,
        tls: Tls | None,
        admit: Callable[[Stranger], None],
        turns: Turns | None = None,
    ) -> None:
        """``admit`` is called for each peer that has proven itself, on the lobby's thread. It returns soon.

        OSError if the system has no descriptor left for it.
        """
        self._turns = turns
        self._has_waited = False
        """Whether a connection that may be waiting was left to other processes for a while."""
        self._listeners = listeners
        self._accept = accept
        self._tls = tls
        self._admit = admit
        places = int(min(options.max_strangers, max(1, descriptor_limit() / 4)))
        self._strangers: FairQueue[Stranger] = FairQueue(places, options.max_strangers_per_network)
        self._delayed: list[tuple[float, int, Stranger]] = []
        """A heap of the strangers that get their replies later. Those that are gone meanwhile stay in it."""
        self._resume_at: float | None = None
        """When to accept again, on the monotonic clock, after a pause."""
        self._closing = False
        with ExitStack() as undo:  # a descriptor may be missing
            self._wakeup_writer, self._wakeup_reader = map(undo.enter_context, socket.socketpair())
            self._selector = undo.enter_context(selectors.DefaultSelector())
            self._selector.register(self._wakeup_reader, selectors.EVENT_READ, _Turn(None, lambda: None))
            self._listen()
            undo.pop_all()
        self._shortage = Shortage(address)
        self._thread = threading.Thread(target=self._run, name=f"fly-orm-pyro5 lobby {address}", daemon=True)

    def start(self) -> None:
        """Begin to accept. RuntimeError if the system grants no more threads."""
        self._thread.start()

    def close(self) -> None:
        """Stop accepting, and turn the strangers away. When this returns, nobody is admitted any more."""
        self._closing = True
        with suppress(OSError):  # the thread may have noticed by itself, and has closed its sockets then
            self._wakeup_writer.send(b"x")
        if self._thread.ident is not None:  # it was started
            self._thread.join()
        self._close_sockets()

    def abandon(self) -> None:
        """Close the sockets in this forked process only; the parent goes on using them."""
        self._close_sockets()
        for stranger in self._strangers.snapshot():
            stranger.sock.close()

    def _run(self) -> None:
        try:
            while not self._closing:
                try:
                    self._take_turns([key.data for key, _ in self._selector.select(self._patience())])
                    self._look_at_the_clock()
                except Exception as error:  # noqa: BLE001  # nobody could reach the process without its lobby
                    self._recover(error)
        finally:
            for stranger in self._strangers.snapshot():
                self._dismiss(stranger)

    def _recover(self, fault: Exception) -> None:
        """Log a fault, and begin to listen anew after a pause, whatever the fault has interrupted."""
        with suppress(Exception):  # there may be no memory for this, either
            log.error("the lobby failed", exc_info=fault, extra={"event": "internal_error"})
        self._wakeup_reader.settimeout(_FAULT_PAUSE)
        with suppress(OSError):
            self._wakeup_reader.recv(1)  # close() ends the pause
        self._resume_at = now()

    def _take_turns(self, ready: list[_Turn]) -> None:
        """Accept, and then serve strangers, those of the smallest networks first, for as long as a turn takes.

        Those who do not get their turn are ready in the next round as well, in which newcomers may go before them.
        """
        for turn in ready:
            if turn.stranger is None:
                turn.act()
        end = now() + _TURN
        for turn in sorted((turn for turn in ready if turn.stranger is not None), key=self._rank):
            turn.act()
            if now() >= end:
                return

    def _rank(self, turn: _Turn) -> int:
        return 0 if turn.stranger is None else self._strangers.crowd(turn.stranger)

    def _close_sockets(self) -> None:
        self._selector.close()
        for sock in [*self._listeners, self._wakeup_writer, self._wakeup_reader]:
            sock.close()
        self._shortage.close()

    def _listen(self) -> None:
        for listener in self._listeners:
            if listener not in self._selector.get_map():  # as some are after a fault
                turn = _Turn(None, partial(self._accept_some, listener))
                self._selector.register(listener, selectors.EVENT_READ, turn)

    def _accept_some(self, listener: socket.socket) -> None:
        if self._turns is not None:
            if self._turns.passes(waited=self._has_waited):
                self._has_waited = True
                self._pause(_PASS)
                return
            self._has_waited = False
        try:
            for _ in range(_BATCH if self._turns is None else 1):
                sock, peer = listener.accept()
                self._take_in(sock, peer)
        except BlockingIOError:
            pass
        except OSError as error:
            # Linux reports a shortage even if nobody waits to be accepted.
            if error.errno in SHORTAGES and is_waited_for(listener):
                self._make_room(error)
            # Any other error: the peer has left, or its network is down (accept(2)).

    def _take_in(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        host = peer[0].removeprefix("::ffff:")
        if self._tls is not None:
            sock = self._tls.accepted(sock)
        stranger = Stranger(sock, Address(host=host, port=peer[1]), self._accept)
        displaced = self._strangers.add(stranger, network_of(host))
        if displaced is not None:
            self._dismiss(displaced)
        sock.setblocking(False)
        self._watch(stranger)

    def _watch(self, stranger: Stranger) -> None:
        turn = _Turn(stranger, partial(self._serve, stranger, stranger.read))
        self._selector.register(stranger.sock, selectors.EVENT_READ, turn)

    def _unwatch(self, sock: socket.socket) -> None:
        """Watch a socket no longer, if it was watched."""
        if sock in self._selector.get_map():
            self._selector.unregister(sock)

    def _make_room(self, error: OSError) -> None:
        """If a descriptor is missing, a stranger makes room for the others. If there is none, all of them wait."""
        if (victim := self._strangers.next_to_go) is not None:
            self._shortage.note(error, 1)
            self._dismiss(victim)
        else:
            self._shortage.note(error, self._shortage.turn_away(self._listeners))
            self._pause(_ACCEPT_PAUSE)

    def _pause(self, seconds: float) -> None:
        """Accept nobody for a while."""
        if self._resume_at is None:
            for listener in self._listeners:
                self._unwatch(listener)
            self._resume_at = now() + seconds

    def _serve(self, stranger: Stranger, act: Callable[[], None]) -> None:
        """Let a stranger read or reply, and admit or dismiss it after that, or let it wait."""
        if stranger not in self._strangers:  # it was displaced in this round of the loop
            return
        try:
            act()
            self._note_progress(stranger)
        except FAILURES as error:
            log.debug(
                "the connection of %s ended: %s",
                stranger.peer,
                error,
                extra={"event": "connection_ended", "peer": stranger.peer, "problem": str(error)},
            )
            self._dismiss(stranger)
        except Exception:
            log.exception(
                "the connection of %s failed", stranger.peer, extra={"event": "internal_error", "peer": stranger.peer}
            )
            self._dismiss(stranger)

    def _note_progress(self, stranger: Stranger) -> None:
        if stranger.is_trusted:
            self._forget(stranger)
            self._admit(stranger)
        elif stranger.reply_at is not None:
            self._unwatch(stranger.sock)
            heappush(self._delayed, (stranger.reply_at, id(stranger), stranger))
        elif stranger.responder is not None:
            self._strangers.prefer(stranger)

    def _look_at_the_clock(self) -> None:
        time = now()
        if self._resume_at is not None and self._resume_at <= time:
            self._resume_at = None
            self._has_waited = self._has_waited and any(map(is_waited_for, self._listeners))
            self._listen()
        while self._delayed and self._delayed[0][0] <= time:
            _, _, stranger = heappop(self._delayed)
            if stranger in self._strangers:
                self._watch(stranger)
                self._serve(stranger, stranger.reply)
        while (oldest := self._strangers.oldest) is not None and oldest.expires_at <= time:
            self._dismiss(oldest)

    def _patience(self) -> float | None:
        """Seconds until the clock matters; None if it does not."""
        instants = [self._delayed[0][0]] if self._delayed else []
        if self._resume_at is not None:
            instants.append(self._resume_at)
        if (oldest := self._strangers.oldest) is not None:
            instants.append(oldest.expires_at)
        return max(0.0, min(instants) - now()) if instants else None

    def _forget(self, stranger: Stranger) -> None:
        self._strangers.remove(stranger)
        self._unwatch(stranger.sock)

    def _dismiss(self, stranger: Stranger) -> None:
        """Close the connection of a stranger."""
        self._forget(stranger)
        stranger.sock.close()
        if stranger.responder is not None:
            try:
                stranger.responder.gone()
            except Exception:  # one responder must not take the server down
                log.exception(
                    "the responder of %s failed to clean up",
                    stranger.peer,
                    extra={"event": "internal_error", "peer": stranger.peer},
                )
