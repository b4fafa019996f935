"""How fresh a session's local reads have to be, and what happens when the replica is late.

A *pin* is a position that a session's reads of a database have to show. They run on a replica only over a connection
whose server is known to show it, and on the primary otherwise. A write that the replica has not replayed in time does
not fail for that, unless the application asked for ``on_lag="raise"``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import msgspec
import psycopg2

from ..concurrency.timer import TimerClosed
from ..deadline import Deadline, now
from ..errors import NotAReplica, ReplicationTimeout
from ..local.instance import THE_PRIMARY
from ..local.pooled import on_server_that_shows
from ..local.replica import LocalReplica
from ..observing.events import WaitEnded
from ..observing.listeners import emit, listeners
from ..position import UNKNOWN, Position
from ..sessions.context import current, current_invocation
from ..sessions.pins import Pin
from ..sessions.session import Session
from ..sessions.wait import Wait
from .options import Options

log = logging.getLogger("fly_orm")


class Waited(msgspec.Struct, frozen=True):
    """How a wait for the replica ended."""

    seconds: float = 0.0
    late: ReplicationTimeout | None = None
    """What the caller has to raise once it has delivered its result: only with ``on_lag="raise"``."""


NOT_AT_ALL = Waited()


class Freshness:
    """Keeps the reads of one database as fresh as each session needs them. Thread-safe."""

    def __init__(self, options: Options, name: Callable[[], str], replica: Callable[[], LocalReplica]) -> None:
        """``name`` returns the database's name, which may be known late, and ``replica`` this region's replica."""
        self._options = options
        self._name = name
        self._replica = replica
        self.reads_on_primary = options.reads == "primary"
        """Whether every read runs on the primary."""
        self._reported: set[str] = set()
        """Why the replica will never show what was committed, as far as the log has said so."""

    # After something was executed elsewhere

    def wait(self, commit: Position, wait: Wait | None = None, *, connection: Any = None) -> Waited:
        """Make the session's reads show a commit: wait for the replica now, before the next read, or not at all.

        ``wait`` overrides the session's and the database's own. ``connection`` is the routing connection that is to
        read next, if that is known. Nothing is waited for at UNKNOWN; see :meth:`expect`.
        """
        session, name = current(), self._name() if connection is None else connection.database
        if session.invocation is not None:
            session.invocation.wrote_until(name, commit)
        when = wait or session.wait_or(self._options.wait)
        if when == "none":
            return NOT_AT_ALL
        session.saw(name, commit)
        pin = session.pins.add(name, commit, waits=when == "read")
        if when == "write" and not commit.is_unknown:
            return self._wait_now(pin, connection)
        return NOT_AT_ALL

    def expect(self, position: Position) -> None:
        """Let the session's reads be at least as fresh as a position, without waiting for it now.

        UNKNOWN stands for one that could not be asked for: the next statement on the primary tells it.
        """
        session, name = current(), self._name()
        if session.invocation is not None and position.is_unknown:
            session.invocation.wrote_until(name, position)  # it may have written
        elif session.invocation is not None:
            session.invocation.read_until(name, position)
        if session.wait_or(self._options.wait) != "none":
            session.saw(name, position)
            session.pins.add(name, position)

    def prepare(self) -> None:
        """Note that a write is on its way, for which this session is going to wait if it waits for its writes."""
        if current().wait_or(self._options.wait) == "write":
            self._replica().prepare()

    def wants_position(self) -> bool:
        """Whether anybody needs the primary's position: this session, or the caller of the invocation it belongs to."""
        session = current()
        return session.invocation is not None or session.wait_or(self._options.wait) != "none"

    # Before a read

    def catch_up(self, session: Session, connection: Any) -> Waited:
        """Find out whether the connection's server shows what the session's reads have to show.

        Waits for that first if the pin says so.
        """
        if session.on_primary or session.on_replica or self.reads_on_primary:
            return NOT_AT_ALL
        name = self._name()
        self._follow(session, connection)
        session.drop_old_doubt(name)
        pin = session.pins.get(name)
        if pin is None or pin.position.is_unknown or pin.position is connection.shown:
            return NOT_AT_ALL
        if pin.waits:
            session.pins.waited(name)
            return self._wait_now(pin, connection)
        if not connection.pooled:
            with suppress(ReplicationTimeout):
                self._wait_for_replica(pin.position, Deadline.after(0), connection)
        return NOT_AT_ALL

    def _follow(self, session: Session, connection: Any) -> None:
        """Pin the session at what another server has shown it, so that its reads do not go back in time on this one."""
        reference, left = session.last_server_read(self._name())
        if left in (None, connection.instance) or not self.follows(session):
            return
        if left is THE_PRIMARY and self._is_elsewhere(reference()):
            return
        position = UNKNOWN
        if left is not THE_PRIMARY:
            # It may have crashed or been promoted, or not be found behind the address.
            with suppress(psycopg2.Error, NotAReplica, TimerClosed):
                position = self._replica().position(left)
        self.expect(position)
        session.note_read(connection)

    def _is_elsewhere(self, router: Any) -> bool:
        """Whether a router belongs to another region. Only a process that plays several has one, such as a test."""
        return router is not None and router.settings.topology.region != self._options.settings.topology.region

    def follows(self, session: Session) -> bool:
        """Whether a read of the session has to show what its reads of other servers have shown."""
        return not session.on_replica and session.wait_or(self._options.wait) != "none"

    def is_pinned(self, session: Session, connection: Any) -> bool:
        """Whether the session's reads over a connection have to run on the primary. Asks no server."""
        if session.on_primary or session.on_replica:
            return session.on_primary
        pin = session.pins.get(connection.database)
        return self.reads_on_primary or (pin is not None and pin.position is not connection.shown)

    def may_lack(self, session: Session, connection: Any) -> bool:
        """Whether the server of a new connection may lack what the session has seen. Asks no server."""
        pin = session.pins.get(self._name())
        return pin is not None and not self._replica().server(connection.instance).shows(pin.position)

    def position_to_check(self, session: Session, connection: Any) -> Position | None:
        """What a server has to show for a pinned read behind a pooler; None if nothing keeps it from the primary."""
        if not connection.pooled or session.on_primary or self.reads_on_primary:
            return None
        pin = session.pins.get(self._name())
        return None if pin is None or pin.position.is_unknown else pin.position

    def checked(self, session: Session, connection: Any) -> AbstractContextManager[bool]:
        """A block in a transaction on a server, behind a pooler, that shows the pin; False if there is none."""
        position = self.position_to_check(session, connection)
        return nullcontext(False) if position is None else on_server_that_shows(connection, position)

    # The replica

    def _wait_now(self, pin: Pin, connection: Any) -> Waited:
        """Wait for the replica; if it is late, the session's reads go to the primary."""
        started, is_late = now(), True
        try:
            self._wait_for_replica(pin.position, self._deadline(), connection)
            is_late = False
        except ReplicationTimeout as late:
            self._report_elsewhere(vars(late).get("reason", ""))
            if self._options.on_lag == "raise" and not pin.resumed:
                return Waited(now() - started, late)
        except Exception:  # what was written is committed, and must not seem to fail because of a plug-in or a setting
            log.exception(
                "could not wait for the replica of %r; this session reads from the primary",
                self._name(),
                extra={"event": "internal_error", "database": self._name()},
            )
        finally:
            if listeners.wait_ended:
                emit(WaitEnded(database=self._name(), seconds=now() - started, late=is_late))
        return Waited(now() - started)

    def _report_elsewhere(self, reason: str) -> None:
        """Log once why the replica will never show what was committed; an empty text says that it may."""
        if reason and reason not in self._reported:
            self._reported.add(reason)
            log.warning(
                "this region's replica of %r %s: sessions that have written read on the primary; connect the database "
                "to a replica that follows the primary",
                self._name(),
                reason,
                extra={"event": "replica_does_not_follow", "database": self._name(), "problem": reason},
            )

    def _deadline(self) -> Deadline:
        """When a wait that begins now gives up. Inside an invocation, not later than the invocation itself."""
        deadline, invocation = Deadline.after(self._options.settings.replication_timeout), current_invocation()
        return deadline if invocation is None else deadline.or_earlier(invocation.deadline)

    def _wait_for_replica(self, position: Position, deadline: Deadline, connection: Any) -> None:
        """Wait for the connection's server, and note that it shows the position."""
        pooled = connection is not None and connection.pooled
        if connection is not None and connection.instance is None and not pooled:
            return  # nothing tells what an unchecked server shows
        try:  # noqa: SIM105  # suppress() would take longer
            self._replica().wait(position, deadline, None if pooled else connection)
        except NotAReplica:  # the local server was promoted, and shows everything
            pass
        if connection is not None and not pooled:  # the server of the next read is another one, perhaps
            connection.shown = position
