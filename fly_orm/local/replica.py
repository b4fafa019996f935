"""The replicas of this region: whether one of them shows a position, and which one it shows now."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import psycopg2

from ..concurrency.timer import Timer, TimerClosed
from ..deadline import Deadline, now
from ..errors import NotAReplica, ReplicationTimeout
from ..lsn import LSN
from ..position import Position, later
from ..postgres.libpq import break_off
from ..postgres.recovery import is_replica
from .asking import poll, read_history
from .instance import Instance, read_instance
from .lateness import Lag, MeasureLag
from .lines import ASK_TIMEOUT, Lines
from .progress import Progress
from .replication import Replication
from .resting_waiter import RestingWaiter

#: Seconds after which a waiter that would have waited on a primary connects again. Its address may lead to a replica by
#: then; if the region has none, each attempt crosses to the primary region.
PRIMARY_INTERVAL = 5.0
#: Instances that are remembered. Each restart makes another one.
_MOST_REMEMBERED = 64


_Wait = Callable[[Position, Deadline], None]


class _Reached(NamedTuple):
    """The server that the waiter's connection has reached, and how many connections it has had."""

    server: Progress
    connections: int


class LocalReplica:
    """Waits until a replica shows a position, on whatever timeline. Thread-safe.

    The address may lead to several servers, and what one of them shows says nothing about another. The waiter's
    connection has reached one of them; a caller whose own connection has reached another waits over its own.
    """

    def __init__(self, kind: str, connect: Callable[[], Any], timer: Timer) -> None:
        self._connect = connect
        self._timer = timer
        self._lines = Lines(connect, self.server, timer)
        self._by_instance: dict[Instance | None, Progress] = {}
        self._reached = _Reached(self.server(None), 0)
        """The server that the waiter's connection has reached, or had reached last; at first, none in particular."""
        self._connect_at = 0.0
        self._primary_until = 0.0
        self._waiter = RestingWaiter(kind, self._open, timer)

    def server(self, instance: Instance | None) -> Progress:
        """What is known about a server instance."""
        known = self._by_instance.get(instance)
        if known is None:
            if len(self._by_instance) >= _MOST_REMEMBERED:
                self._by_instance.clear()  # those that still exist are asked once more
            before = [other for other in list(self._by_instance.values()) if _in_place_of(instance, other.instance)]
            known = self._by_instance.setdefault(instance, Progress(instance))
            for other in before:
                other.lateness.replaced()
        return known

    @property
    def is_late(self) -> bool:
        """Whether a wait for one of the servers has run out, and it has not caught up since."""
        return any(server.lateness.is_late for server in list(self._by_instance.values()))

    def look(self) -> bool:
        """Whether a server is late still: those that are late are asked, as nobody may wait for them any more.

        While a server hangs, so does the caller.
        """
        for server in list(self._by_instance.values()):
            if (newest := server.lateness.newest) is not None:
                with suppress(ReplicationTimeout):  # it is late still
                    self._looked(server, newest, partial(self._ask_whether, server))
        return self.is_late

    def meet(self, connection: Any) -> None:
        """Learn the history of the server that a routing connection has reached, unless it is known.

        ConfigurationError if the waiter cannot wait for servers of its version.
        """
        server = self.server(connection.instance)
        self._waiter.check(connection.server_version)
        if server.instance is not None and server.history is None:
            with suppress(psycopg2.Error):  # it is asked again when somebody waits for it
                server.history = read_history(connection)

    def prepare(self) -> None:
        """Let the waiter connect while a write is on its way, if it is not connected. Returns at once."""
        self._waiter.prepare()

    def wait(self, position: Position, deadline: Deadline, connection: Any = None) -> None:
        """Return when reads over ``connection`` show a position; without one, those on the server of the waiter.

        ``connection`` has an attribute ``instance``, and its caller does not use it in the meantime. Raises
        ReplicationTimeout if the server does not show the position by the deadline; at once if it never will, because
        it belongs to another system or the position was lost in a failover; and at once while the server is late,
        because an earlier wait has run out. Raises NotAReplica if the server is not in recovery.
        """
        started = now()
        if not self._reached.connections:
            with suppress(ReplicationTimeout, NotAReplica):  # a connection of the caller's own will do
                self._connect_waiter(position, deadline)
        if connection is None:
            self._unless_late(self._reached.server, position, deadline, self._wait, started)
            return
        own = self.server(connection.instance)

        def wait(position: Position, deadline: Deadline) -> None:
            if self._reached.server is own:
                try:
                    self._wait(position, deadline)
                except NotAReplica:
                    pass  # it may be another server by now
                except ReplicationTimeout as late:
                    if not isinstance(late.__cause__, psycopg2.Error):
                        raise
                    # The waiter has no connection. The caller has one.
                if own.shows(position):
                    return
            poll(connection, own, position, deadline, self._timer)

        self._unless_late(own, position, deadline, wait, started)

    def position(self, instance: Instance | None = None) -> Position:
        """A position at which another replica shows all that this one shows now: a certain server, or else any.

        Raises NotAReplica if the server is not in recovery, and psycopg2's error if it cannot be asked.
        """
        server, replayed = self._lines.ask(instance)
        if replayed is None:
            raise NotAReplica("the local server is not in recovery, or has not replayed anything")
        return server.position(replayed)

    def replication(self) -> Replication | None:
        """How the replica follows its primary; None if it is not a replica.

        Raises psycopg2's error or TimerClosed if it cannot be asked. While it hangs, so does the caller.
        """
        return self._lines.replication()

    def close(self) -> None:
        """Close the connections; waits that are under way raise ReplicationTimeout."""
        self._waiter.close()
        self._lines.close()

    def _unless_late(
        self, server: Progress, position: Position, deadline: Deadline, wait: _Wait, started: float
    ) -> None:
        """Wait; while the server is late, only look."""
        if server.shows(position) or (server.lateness.is_late and self._looked(server, position, wait)):
            return
        try:
            wait(position, deadline)
        except ReplicationTimeout as late:
            answers = not isinstance(late.__cause__, psycopg2.Error | TimerClosed)
            # A wait that its caller's deadline has cut short says nothing about the server.
            whole = deadline.timeout is None or now() - started >= 0.9 * deadline.timeout
            if deadline.timeout != 0 and not vars(late).get("final") and (whole or not answers):
                why = f"{late}{server.why_behind(position)}"
                server.lateness.begin(position, deadline.timeout, why, self._measure(server) if answers else None)
            raise

    def _looked(self, server: Progress, position: Position, wait: _Wait) -> bool:
        """Whether a server that is late shows the position; False once it has caught up, and may be waited for.

        ReplicationTimeout if it is late still.
        """
        lateness = server.lateness
        before = lateness.want(position) if server.includes(position) else None
        late = ReplicationTimeout(
            f"committed at {position}, but this region's replica is late, and nobody waits for it", lsn=position.lsn
        )
        with lateness.look() as allowed:
            if not allowed:
                raise late
            try:
                target = lateness.target(before or position)
                if _shows(wait, target.position):
                    caught_up = lateness.reached(target) or (before is not None and _shows(wait, before))
                    if caught_up and lateness.may_end:
                        lateness.end(self._measure(server))
                        return False
                elif later(target.position, position) == position:
                    raise late  # which cannot be shown either
                wait(position, Deadline.after(0))
            except ReplicationTimeout as error:
                if isinstance(error.__cause__, psycopg2.Error):
                    lateness.unanswered()
                raise
            return True

    def _ask_whether(self, server: Progress, position: Position, _deadline: Deadline) -> None:
        """Ask a server whether it shows a position, over a connection of its own; ReplicationTimeout if it does not."""
        try:
            _, replayed = self._lines.ask(server.instance)
        except (psycopg2.Error, TimerClosed) as error:
            raise ReplicationTimeout(f"this region's replica cannot be asked: {error}", lsn=position.lsn) from error
        if replayed is None or not server.includes(position) or replayed < position.lsn:
            raise ReplicationTimeout(f"this region's replica has replayed only up to {replayed}", lsn=position.lsn)

    def _measure(self, server: Progress) -> MeasureLag:
        """What measures the lag of a server, over a connection of its own, when that is to be logged."""

        def measure(wanted: Position) -> Lag | None:
            with suppress(psycopg2.Error, TimerClosed):
                return self._lines.lag(server.instance, wanted.lsn)
            return None

        return measure

    def _wait(self, position: Position, deadline: Deadline) -> None:
        """Wait for the server that the waiter has reached."""
        reached = self._reached
        # What the server's history has left behind is shown at once, or never. The waiter is asked all the same: it may
        # have to connect anew, and reach another server.
        never = reached.server.has_left(position)
        try:
            replayed = self._waiter.wait(position.lsn, Deadline.after(0) if never else deadline)
        except ReplicationTimeout as late:
            if "replayed" in vars(late) and reached is self._reached:
                reached.server.note_replayed(vars(late)["replayed"])
            if never and late.__cause__ is None:
                raise reached.server.elsewhere(position) from None
            raise
        server = self._reached.server
        if not server.includes(position):
            self._ask_again(server, position)
        if reached is self._reached:  # or it is not known which of the servers has shown the position
            server.note(position if server.history is None else server.position(replayed))

    def _connect_waiter(self, position: Position, deadline: Deadline) -> None:
        """Let the waiter connect, so that it is known which server it waits for."""
        try:
            self._waiter.wait(LSN(0), deadline)
        except ReplicationTimeout as error:
            cause = error.__cause__ or error
            message = (
                f"committed at {position}, but this region's replica cannot be asked what it has replayed: {cause}"
            )
            raise ReplicationTimeout(message, lsn=position.lsn) from error.__cause__

    def _ask_again(self, server: Progress, position: Position) -> None:
        """Learn the history again, which may be that of a failover; ReplicationTimeout if it lacks the position."""
        try:
            if server.may_ask_again():
                self._lines.ask(server.instance)
        except psycopg2.Error as error:
            raise server.elsewhere(position) from error
        if not server.includes(position):
            raise server.elsewhere(position)

    def _open(self) -> Any:
        """A connection for the waiter. It may reach another server than the one before."""
        started = now()
        if started < self._primary_until:
            raise NotAReplica("the last connection that was to wait for the replica reached a primary")
        if started < self._connect_at:
            raise psycopg2.OperationalError("the last attempt to connect took long and failed")
        try:
            return self._connect_and_learn()
        except NotAReplica:
            self._primary_until = now() + PRIMARY_INTERVAL
            raise
        except psycopg2.Error:
            # Most of the time must not go into attempts that hang, such as those to a server that is stopped.
            self._connect_at = now() + 4 * (now() - started)
            raise

    def _connect_and_learn(self) -> Any:
        connection = self._connect()
        try:
            with self._timer.limit(ASK_TIMEOUT, lambda: break_off(connection)):
                if not is_replica(connection):
                    # If the waiter kept this connection, it would not come back to the replica.
                    raise NotAReplica("the connection that was to wait for the replica has reached a primary")
                server = self.server(read_instance(connection))
                server.history = read_history(connection)
        except (psycopg2.Error, NotAReplica):
            connection.close()
            raise
        before, self._reached = self._reached, _Reached(server, self._reached.connections + 1)
        if before.server is not server and before.server.instance is None:
            before.server.lateness.replaced()  # nobody knew which server it was that could not be reached
        return connection


def _in_place_of(instance: Instance | None, other: Instance | None) -> bool:
    """Whether a server instance is another one's after a restart."""
    return instance is not None and other is not None and instance.place == other.place


def _shows(wait: _Wait, position: Position) -> bool:
    """Whether the server shows a position now; ReplicationTimeout if it does not answer."""
    try:
        wait(position, Deadline.after(0))
    except ReplicationTimeout as late:
        if isinstance(late.__cause__, psycopg2.Error):
            raise
        return False
    return True
