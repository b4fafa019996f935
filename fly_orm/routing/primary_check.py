"""Makes sure that a server which takes writes in a secondary region is the primary, before anything is written."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from ..deadline import Deadline, now
from ..errors import ConfigurationError, FlyOrmError, NotPrimary
from ..forwarding.fence import Fence
from ..forwarding.forwarder import Forwarder
from ..local.describing import describe
from ..local.instance import ask_instance
from ..protocol.messages import Described
from ..topology import Node, Topology
from .verdict import Verdict, judge

log = logging.getLogger("fly_orm")

#: Seconds that nodes may take to answer, all together. The caller is waiting for its connection.
ASK_TIMEOUT = 5.0
#: Seconds after which nodes are asked again if none of them could tell.
RETRY_INTERVAL = 5.0


class _Found(NamedTuple):
    verdict: Verdict
    other: str
    """What it was compared with, for messages; or why it could not be compared."""


class PrimaryCheck:
    """Whether the servers of one database that are not in recovery may be written. Thread-safe.

    A secondary region's server should be a replica. One that takes writes may be the primary itself, or a replica that
    was promoted. It may also be the wrong one: a restored copy, a logical subscriber, the server of another
    environment. What is written there would be missing everywhere else. So it is compared with the servers of the
    nodes, once for each run of the server.

    In the primary region a server is the primary because the settings say so. But it may have been superseded by a
    failover, if this process has seen a newer timeline: by a token, for instance.
    """

    def __init__(
        self, name: Callable[[], str], topology: Topology, fence: Fence, forwarder: Callable[[], Forwarder]
    ) -> None:
        self._name = name
        self._topology = topology
        self._fence = fence
        self._forwarder = forwarder
        self._lock = threading.Lock()
        self._found: dict[str, _Found] = {}
        """By run of a server. UNDECIDED is not kept."""
        self._replicas: set[str] = set()
        """The runs of servers that have been replicas."""
        self._known: dict[str, Described] = {}
        """The same servers, which need not be asked again: the timeline of a primary does not change during a run."""
        self._ask_at = 0.0
        self._undecided = ""

    def allows(self, connection: Any) -> bool:
        """Whether the server that a connection in autocommit has reached may be written; False if nobody can tell.

        ConfigurationError if it is the wrong one; in the primary region, NotPrimary if it was superseded.
        """
        if self._topology.is_primary and not self._fence.newest(self._name()):
            return True
        instance = ask_instance(connection)
        own = self._known.get(instance.run) or describe(connection, instance)
        with self._lock:
            found = self._look_up(own, lambda: describe(connection, instance))
        if found.verdict.is_wrong:
            error = NotPrimary if self._topology.is_primary else ConfigurationError
            raise error(self._describe(own, found))
        if found.verdict.may_write:
            # What a session reads there no older primary may serve from now on.
            self._fence.met(self._name(), own.history, self._place(own))
        return found.verdict.may_write

    @property
    def asks_again(self) -> bool:
        """Whether the next new connection to an unknown server has the nodes asked about it."""
        return now() >= self._ask_at

    def saw_replica(self, run: str) -> None:
        """Note that a server is a replica. If it is not one later in the same run, it was promoted."""
        self._replicas.add(run)

    def confirms(self, run: str) -> bool:
        """Whether this run of a server is known to be the right one."""
        found = self._found.get(run)
        return self._topology.is_primary or (found is not None and found.verdict.may_write)

    def _look_up(self, own: Described, describe_again: Callable[[], Described]) -> _Found:
        name, known = self._name(), self._found.get(own.run)
        if own.history is not None and (newer := self._fence.newer(name, own.history)) is not None:
            self._fence.met(name, own.history, self._place(own))
            found = _Found(Verdict.SUPERSEDED, newer)
        elif known is not None:
            return known
        elif self._topology.is_primary:
            found = _Found(Verdict.CONFIGURED, "")
        elif own.history is not None and self._fence.has_met_older(name, own.history):
            found = _Found(Verdict.PROMOTED, "the primary that this process wrote to before")
        elif own.run in self._replicas:
            found = _Found(Verdict.PROMOTED, "the primary that it was a replica of")
        elif now() < self._ask_at:
            return _Found(Verdict.UNDECIDED, self._undecided)
        else:
            found = self._ask(describe_again)
        self._note(own, found)
        return found

    def _place(self, own: Described) -> str:
        return f"at {own.address}, the server of region {self._topology.region!r}"

    def _ask(self, describe_again: Callable[[], Described]) -> _Found:
        """Compare the server with those of the nodes."""
        failures: list[FlyOrmError] = []
        seen: list[Node] = []
        for node, other in self._forwarder().witnesses(self._name(), Deadline.after(ASK_TIMEOUT), failures):
            own = describe_again()  # after the node, so that its replica cannot seem to be ahead of the primary
            verdict = judge(own, other, same_region=node.region == self._topology.region)
            if verdict is not Verdict.UNDECIDED:
                relation = "server" if other.primary or verdict.is_wrong else "replica"
                return _Found(verdict, f"{other.address}, the {relation} of {node}")
            seen.append(node)
        if not seen and not self._forwarder().knows_nodes():
            return _Found(Verdict.UNCHECKED, "no node of any region is known")
        causes = [*map(str, failures), *(f"the replica of {node} leaves it open" for node in seen)]
        return _Found(Verdict.UNDECIDED, "; ".join(dict.fromkeys(causes)))

    def _note(self, own: Described, found: _Found) -> None:
        """Remember what was found, and log it when it is news."""
        if found.verdict is Verdict.UNDECIDED:
            news, self._undecided = not self._undecided, found.other
            self._ask_at = now() + RETRY_INTERVAL
        else:
            news = self._found.get(own.run) != found
            self._found[own.run], self._known[own.run], self._undecided = found, own, ""
        if news and found.verdict in _MESSAGES:
            log.warning("%s", self._describe(own, found))

    def _describe(self, own: Described, found: _Found) -> str:
        server = f"the server of {self._name()!r} in region {self._topology.region!r} ({own.address})"
        return _MESSAGES[found.verdict].format(
            server=server,
            other=found.other,
            region=self._topology.region,
            primary_region=self._topology.primary_region,
            history=own.history or "an unknown system",
        )


_WRONG = "; nothing was executed. Connect it to the replica of this region, or to the primary"
_MESSAGES = {
    Verdict.THE_PRIMARY: (
        "{server} is the primary itself, by comparison with {other}: statements run there directly, and reads cross "
        "the network too"
    ),
    Verdict.PROMOTED: (
        "{server} was promoted: it is the primary now, on {history}, and newer than {other}; if region {region!r} "
        "is to stay the primary one, set PRIMARY_REGION={region} everywhere"
    ),
    Verdict.UNCHECKED: (
        "{server} takes writes, and they run there directly: {other}, so it cannot be compared with the primary of "
        "region {primary_region!r}. Set FLY_ORM_NODES"
    ),
    Verdict.OTHER_SYSTEM: (
        "{server} is not a replica, and belongs to another database system ({history}) than {other}: perhaps it is a "
        "restored copy, a logical subscriber, or a server of another environment" + _WRONG
    ),
    Verdict.COPY: (
        "{server} is not a replica but a copy of the primary that takes writes of its own, on the same timeline as "
        "{other}" + _WRONG
    ),
    Verdict.SUPERSEDED: (
        "{server} was the primary before a failover: it is on {history}, and older than {other}; nothing was executed. "
        "Stop it, or let it rejoin as a replica"
    ),
    Verdict.UNDECIDED: (
        "{server} is not a replica, and no node can tell whether it is the primary: {other}. Until one can, only reads "
        "run there, and writes go to the nodes. If region {region!r} is the primary one now, set "
        "PRIMARY_REGION={region}"
    ),
}
