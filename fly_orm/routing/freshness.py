"""How fresh a session's local reads have to be, and what happens when the replica is late.

A *pin* keeps a session's reads of a database on the primary. A write that the replica has not replayed in time pins the
session; it is never made to fail for that, unless the application asked for ``on_lag="raise"``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from ..deadline import Deadline, now
from ..errors import NotAReplica, ReplicationTimeout
from ..local.replica import LocalReplica
from ..position import Position
from ..sessions.context import current
from ..sessions.session import Session
from ..sessions.wait import Wait
from .options import Options

log = logging.getLogger("fly_orm")


class Waited(NamedTuple):
    """How a wait for the replica ended."""

    seconds: float = 0.0
    late: ReplicationTimeout | None = None
    """What the caller has to raise once it has delivered its result: only with ``on_lag="raise"``."""


_NOT_AT_ALL = Waited()


class Freshness:
    """Keeps the reads of one database as fresh as each session needs them. Thread-safe."""

    def __init__(self, options: Options, name: Callable[[], str], replica: Callable[[], LocalReplica]) -> None:
        """``name`` returns the database's name, which may be known late, and ``replica`` this region's replica."""
        self._options = options
        self._name = name
        self._replica = replica
        self.reads_on_primary = options.reads == "primary"
        """Whether every read runs on the primary."""

    # After something was executed elsewhere

    def wait(self, commit: Position, wait: Wait | None = None) -> Waited:
        """Make the session's reads show a commit: wait for the replica now, before the next read, or not at all.

        ``wait`` overrides the session's and the database's own. Nothing is waited for at UNKNOWN; see :meth:`expect`.
        """
        session, name = current(), self._name()
        if session.invocation is not None:
            session.invocation.saw(name, commit)
        when = wait or session.wait_or(self._options.wait)
        if when == "none":
            return _NOT_AT_ALL
        session.saw(name, commit)
        if when == "write" and not commit.is_unknown:
            return self._wait_now(commit, session, own=True)
        session.pins.add(name, commit, waits=when == "read")
        return _NOT_AT_ALL

    def expect(self, position: Position) -> None:
        """Let the session's reads be at least as fresh as a position, without waiting for it now.

        UNKNOWN stands for one that could not be asked for: the next statement on the primary tells it.
        """
        session, name = current(), self._name()
        if position.is_unknown and session.invocation is not None:
            session.invocation.saw(name, position)
        if session.wait_or(self._options.wait) != "none":
            session.saw(name, position)
            session.pins.add(name, position)

    def wants_position(self) -> bool:
        """Whether anybody needs the primary's position: this session, or the caller of the invocation it belongs to."""
        session = current()
        return session.invocation is not None or session.wait_or(self._options.wait) != "none"

    # Before a read

    def catch_up(self, session: Session) -> Waited:
        """Remove the session's pin if the replica has caught up; wait for that first if the pin says so."""
        if session.on_primary or session.on_replica or self.reads_on_primary:
            return _NOT_AT_ALL
        name = self._name()
        session.drop_old_doubt(name)
        pin = session.pins.get(name)
        if pin is None or pin.position.is_unknown:
            return _NOT_AT_ALL
        if not pin.waits:
            self._look(pin.position, session)
            return _NOT_AT_ALL
        session.pins.waited(name)
        return self._wait_now(pin.position, session, own=not pin.resumed)

    def is_pinned(self, session: Session) -> bool:
        """Whether the session's reads have to run on the primary. Asks no server."""
        if session.on_primary or session.on_replica:
            return session.on_primary
        return self.reads_on_primary or self._name() in session.pins

    # The replica

    def _wait_now(self, position: Position, session: Session, *, own: bool) -> Waited:
        """Wait for the replica, and pin the session if it is late. ``own``: the position covers a write of its own."""
        started, name = now(), self._name()
        try:
            self._replica().wait(position, Deadline.after(self._options.settings.replication_timeout))
        except NotAReplica:  # the local server was promoted, and shows everything
            session.pins.remove(name)
        except ReplicationTimeout as late:
            session.pins.add(name, position)
            if own and self._options.on_lag == "raise":
                return Waited(now() - started, late)
            log.warning("%s; this session reads from the primary until it has", late)
        except BaseException:  # the caller was interrupted, and has to see what it wrote all the same
            session.pins.add(name, position)
            raise
        else:
            session.pins.shown(name, position)
        return Waited(now() - started)

    def _look(self, position: Position, session: Session) -> None:
        """Remove the session's pin if the replica shows the position by now."""
        try:
            self._replica().wait(position, Deadline.after(0))
        except ReplicationTimeout:
            return
        except NotAReplica:  # the local server was promoted, and shows everything
            pass
        session.pins.remove(self._name())
