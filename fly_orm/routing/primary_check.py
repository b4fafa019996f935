"""Makes sure that a server which takes writes is the primary, before anything is written to it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import psycopg2

from ..concurrency.background import BackgroundTask
from ..concurrency.fair_semaphore import FairSemaphore, Holder
from ..concurrency.forks import abandon_in_children
from ..deadline import Deadline, now
from ..errors import ConfigurationError, FlyOrmError, NotPrimary
from ..forwarding.fence import Fence
from ..forwarding.forwarder import Forwarder
from ..local.describing import describe
from ..local.instance import Instance, ask_instance
from ..position import History
from ..protocol.messages import Described
from ..topology import Node, Topology
from .verdict import Answer, Verdict, judge
from .verdict_messages import MESSAGES

log = logging.getLogger("fly_orm")

T = TypeVar("T")

#: Seconds that nodes may take to answer, all together. The caller is waiting for its connection.
ASK_TIMEOUT = 5.0
#: Seconds after which nodes are asked again if none of them could tell.
RETRY_INTERVAL = 5.0
#: Runs of servers that are remembered. Each restart makes another one.
_MOST_REMEMBERED = 64


class Found(NamedTuple):
    """What a server turned out to be."""

    verdict: Verdict
    other: str
    """What it was compared with, for messages; or why it could not be compared."""
    disputed: bool = False
    """Whether an older primary is still alive."""


class PrimaryCheck:
    """Whether the servers of one database that are not in recovery may be written. Thread-safe and fork-safe.

    A secondary region's server should be a replica. One that takes writes may be the primary itself, or a replica that
    was promoted. It may also be the wrong one: a restored copy, a logical subscriber, the server of another
    environment. What is written there would be missing everywhere else. So it is compared with the servers of the
    nodes, once for each run of the server. The first caller waits for their answers; if they leave it open, they are
    asked again in the background.

    In the primary region a server is the primary because the settings say so. But it may have been superseded by a
    failover, if this process or this session has seen a newer timeline.
    """

    def __init__(
        self,
        name: Callable[[], str],
        topology: Topology,
        fence: Fence,
        *,
        forwarder: Callable[[], Forwarder],
        connect: Callable[[], Any],
    ) -> None:
        self._name = name
        self._topology = topology
        self._fence = fence
        self._forwarder = forwarder
        self._connect = connect
        self._known: dict[str, Described] = {}
        """Servers by their run. The timeline of a primary does not change during a run."""
        self._found: dict[str, Found] = {}
        """What they turned out to be; UNDECIDED if that is still open."""
        self._replicas: dict[str, None] = {}
        """The runs of servers that have been replicas."""
        self._timelines: dict[int, int] = {}
        """By system, the timeline of the server that was checked last."""
        self.abandon()

    def abandon(self) -> None:
        """Keep what is known in a forked process, with locks of its own."""
        self._lock = threading.Lock()
        self._first = FairSemaphore()
        self._again = BackgroundTask("fly_orm primary check", self._ask_again)
        self._ask_at = 0.0
        abandon_in_children(self)

    def allows(
        self,
        connection: Any,
        instance: Instance | None = None,
        *,
        seen: History | None = None,
        deadline: Deadline | None = None,
    ) -> bool:
        """Whether the server that a connection in autocommit has reached may be written; False if nobody can tell.

        ``instance`` is the server's, if it is known. ``seen`` is the newest timeline that the session has seen. Nodes
        are asked until the deadline at most.

        ConfigurationError if it is the wrong server; in the primary region, NotPrimary if it was superseded.
        """
        if self._topology.is_primary and seen is None and not self._fence.newest(self._name()):
            return True
        instance = instance or ask_instance(connection)
        own = self._known.get(instance.run) or describe(connection, instance)
        found = self._superseded(own, seen) or self._look_up(own) or self._ask_first(own, deadline)
        if found.verdict.is_wrong:
            error = NotPrimary if self._topology.is_primary else ConfigurationError
            raise error(self._describe(own, found))
        if found.verdict.may_write and own.history is not None:
            self._timelines[own.history.system] = own.history.timeline
            if not self._topology.is_primary:
                # What a session reads there no older primary may serve from now on.
                self._fence.met(self._name(), own.history, self._place(own))
        return found.verdict.may_write

    def is_current(self, seen: History) -> bool:
        """Whether the server that was checked last has reached a timeline that a session has seen. Asks nobody."""
        return self._timelines.get(seen.system, 0) >= seen.timeline

    def confirms_soon(self, run: str) -> bool:
        """Whether this run of a server is known to be right by now. If not, nodes are asked in the background."""
        if not self.confirms(run) and now() >= self._ask_at:
            self._again.start()
        return self.confirms(run)

    def saw_replica(self, run: str) -> None:
        """Note that a server is a replica. If it is not one later in the same run, it was promoted."""
        _remember(self._replicas, run, None)

    def confirms(self, run: str) -> bool:
        """Whether this run of a server is known to be the right one."""
        found = self._found.get(run)
        return self._topology.is_primary or (found is not None and found.verdict.may_write)

    # Without asking anybody

    def _superseded(self, own: Described, seen: History | None) -> Found | None:
        """The verdict on a server that is on an older timeline than this process, or this session, has seen."""
        name, history = self._name(), own.history
        if history is None:
            return None
        newer = self._fence.newer(name, history)
        if newer is None and seen is not None and history.is_behind(seen):
            newer = f"timeline {seen.timeline}, which this session has seen"
        if newer is None:
            return None
        self._fence.report(name, history, self._place(own), newer)
        return Found(Verdict.SUPERSEDED, newer)

    def _look_up(self, own: Described) -> Found | None:
        """The verdict that needs no answers; None if there is none."""
        found = self._found.get(own.run)
        if self._topology.is_primary:
            found = Found(Verdict.CONFIGURED, "")
        elif found is None or found.verdict is Verdict.UNDECIDED:
            if own.history is not None and self._fence.has_met_older(self._name(), own.history):
                found = Found(Verdict.PROMOTED, "the primary that this process wrote to before")
            elif own.run in self._replicas:
                found = Found(Verdict.PROMOTED, "the primary that it was a replica of")
        if found is None:
            return None
        if found.verdict.may_write:
            self._note(own, found)
        else:
            self.confirms_soon(own.run)
        return found

    # By the answers of nodes

    def _ask_first(self, own: Described, deadline: Deadline | None) -> Found:
        """Ask the nodes about a server that is new, one caller for all."""
        limit = Deadline.after(ASK_TIMEOUT)
        limit = limit if deadline is None else limit.or_earlier(deadline)
        holder = Holder()
        try:
            if not self._first.take(holder, limit.remaining() or 0.0):
                return Found(Verdict.UNDECIDED, "nodes are being asked")
            return self._found.get(own.run) or self._ask(own, limit)
        finally:
            self._first.leave(holder)

    def _ask_again(self) -> None:
        """Ask the nodes about the server that a new connection reaches."""
        self._ask_at = now() + RETRY_INTERVAL
        with suppress(psycopg2.Error):
            connection = self._connect()
            try:
                own = describe(connection)
            finally:
                connection.close()
            if own.primary:
                self._ask(own, Deadline.after(ASK_TIMEOUT))

    def _ask(self, own: Described, deadline: Deadline) -> Found:
        """Compare the server with those of the nodes."""
        failures: list[FlyOrmError] = []
        told, silent = self._forwarder().witnesses(self._name(), deadline, failures)
        answers = [Answer(node, server) for node, server in told if self._counts(node, server)]
        complete = not silent and all(self._counts(*answer) or self._is_here(answer[0]) for answer in told)
        if not answers and not self._forwarder().knows_nodes():
            found = Found(Verdict.UNCHECKED, "no node of any region is known")
        else:
            region = self._topology.primary_region
            verdict, answer = judge(own, answers, primary_region=region, complete=complete)
            other = self._why_open(own, answers, failures) if answer is None else str(answer)
            found = Found(verdict, other, verdict is Verdict.PROMOTED and answer is not None and answer.server.primary)
        self._ask_at = now() + RETRY_INTERVAL
        self._note(own, found)
        return found

    def _counts(self, node: Node, server: Described) -> bool:
        """Whether an answer counts.

        A node of this region most likely has the same address, right or wrong. And a server that takes writes in
        another region may be the wrong one as well, until its node has found out.
        """
        return server.confirmed or not (server.primary or self._is_here(node))

    def _is_here(self, node: Node) -> bool:
        return node.region == self._topology.region

    def _why_open(self, own: Described, answers: list[Answer], failures: list[FlyOrmError]) -> str:
        """Why the answers leave open what the server is."""
        causes = [*map(str, failures)]
        if own.history is None or any(answer.server.history is None for answer in answers):
            causes.append(
                "the role may not ask a server for its system and timeline (GRANT EXECUTE ON FUNCTION "
                "pg_control_system(), pg_control_checkpoint(), pg_control_recovery() to it)"
            )
        elif answers:
            causes.append(f"the nodes that answer have replicas only ({', '.join(str(a.node) for a in answers)})")
        return "; ".join(dict.fromkeys(causes)) or "no node of another region has answered"

    # What is known

    def _note(self, own: Described, found: Found) -> None:
        """Remember what was found, and log it when it is news."""
        with self._lock:
            before = self._found.get(own.run)
            _remember(self._found, own.run, found)
            if found.verdict is not Verdict.UNDECIDED and own.history is not None:
                _remember(self._known, own.run, own)
        if (before is None or before.verdict is not found.verdict) and found.verdict in MESSAGES:
            log.log(
                logging.ERROR if found.disputed else logging.WARNING,
                "%s",
                self._describe(own, found),
                extra={"event": "server_checked"},
            )

    def _place(self, own: Described) -> str:
        return f"at {own.address}, the server of region {self._topology.region!r}"

    def _describe(self, own: Described, found: Found) -> str:
        server = f"the server of {self._name()!r} in region {self._topology.region!r} ({own.address})"
        return MESSAGES[found.verdict].format(
            server=server,
            other=f"{found.other}, which still takes writes" if found.disputed else found.other,
            region=self._topology.region,
            primary_region=self._topology.primary_region,
            history=own.history or "an unknown system",
        )


def _remember(known: dict[str, T], key: str, value: T) -> None:
    """Note a value by its key; the oldest ones make room."""
    while key not in known and len(known) >= _MOST_REMEMBERED:
        known.pop(next(iter(known)), None)
    known[key] = value
