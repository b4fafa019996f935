"""Counts and times what happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar, get_args

from prometheus_client import Counter, Histogram

from ..observing import (
    CallServed,
    ChannelOpened,
    ChannelRefused,
    ConnectionLent,
    Observer,
    PeerRefused,
    ProofFailed,
    ReadFellBack,
    RequestEnded,
    RequestExecuted,
    Route,
    StatementServed,
    UnknownOutcome,
    WaitEnded,
)
from ..observing.node_events import WhyNoProof
from . import definitions
from .definitions import BUCKETS, DEFINITIONS, UNDELIVERED, Definition

M = TypeVar("M", Counter, Histogram)
_Label = str | Route | None


class _Labelled(dict[tuple[_Label, ...], M], Generic[M]):
    """A metric by its labels. To look it up here takes a tenth of what :meth:`labels` takes."""

    def __init__(self, metric: M) -> None:
        super().__init__()
        self.metric: M = metric

    def __missing__(self, labels: tuple[_Label, ...]) -> M:
        made: M = self.metric.labels(*map(_text, labels))
        self[labels] = made
        return made


def _text(label: _Label) -> str:
    return str(label.value) if isinstance(label, Route) else label or "none"


class Counting(Observer):
    """Turns events into metrics. It does not hear when something begins, as that would cost as much again."""

    def __init__(self, used: Callable[[], None] | None = None) -> None:
        """``used`` is called before each change of a metric."""
        self._used = used
        self._times: dict[Definition, _Labelled[Histogram]] = {
            each: _Labelled(_histogram(each)) for each in DEFINITIONS if each.type == "histogram"
        }
        self._counts: dict[Definition, _Labelled[Counter]] = {
            each: _Labelled(_counter(each)) for each in DEFINITIONS if each.type == "counter"
        }
        self._statements = self._times[definitions.STATEMENTS]
        self._reads: dict[str, Histogram] = {}
        """By database, that of plain reads on this region's server, which are most of all."""
        self._databases: set[str | None] = set()
        self._functions: set[str] = set()
        self._know(None)
        for reason in get_args(WhyNoProof):
            self._begin(definitions.NODE_FAILED_PROOFS, reason)

    @property
    def metrics(self) -> list[Counter | Histogram]:
        """All metrics, without values for labels that have not occurred."""
        return [*(each.metric for each in self._times.values()), *(each.metric for each in self._counts.values())]

    def _know(self, database: str | None) -> None:
        """Begin to count what alerts are about of a database."""
        self._databases.add(database)
        self._begin(definitions.UNKNOWN_OUTCOMES, database)
        self._begin(definitions.WAITS_LATE, database)
        if database is not None:
            for error in UNDELIVERED:
                self._begin(definitions.STATEMENT_ERRORS, database, error)

    def _know_function(self, function: str) -> None:
        """The same of a function."""
        self._functions.add(function)
        for error in UNDELIVERED:
            self._begin(definitions.CALL_ERRORS, function, error)

    def _begin(self, definition: Definition, *labels: _Label) -> None:
        """Begin to count at 0: Prometheus sees no increase in what begins with 1."""
        self._counts[definition][labels].inc(0)

    def statement_served(self, event: StatementServed) -> None:
        """Time a statement."""
        if self._used is not None:
            self._used()
        if event.database not in self._databases:
            self._know(event.database)
        self._statements[event.database, event.route, event.kind].observe(event.total)
        if event.error is not None:
            self._count(definitions.STATEMENT_ERRORS, event.database, event.error)

    def read_timed(self, database: str, seconds: float) -> None:
        """Time a plain read."""
        if (read := self._reads.get(database)) is None:
            self._know(database)
            read = self._reads[database] = self._statements[database, Route.LOCAL, "read"]
        if self._used is not None:
            self._used()
        read.observe(seconds)

    def call_served(self, event: CallServed) -> None:
        """Time the call of a function."""
        if event.function not in self._functions:
            self._know_function(event.function)
        self._time(definitions.CALLS, event.total, event.function, event.route)
        if event.error is not None:
            self._count(definitions.CALL_ERRORS, event.function, event.error)

    def request_ended(self, event: RequestEnded) -> None:
        """Time a request to a node."""
        region = _region(event.node)
        self._time(definitions.RPCS, event.seconds, region, event.kind)
        if event.declined is not None:
            self._count(definitions.RPC_DECLINED, region, event.declined)
        if event.error is not None:
            self._count(definitions.RPC_ERRORS, region, event.error)

    def unknown_outcome(self, event: UnknownOutcome) -> None:
        """Count a request of which nobody knows whether it was executed."""
        self._count(definitions.UNKNOWN_OUTCOMES, event.database)

    def wait_ended(self, event: WaitEnded) -> None:
        """Time a wait for the replica."""
        self._time(definitions.WAITS, event.seconds, event.database)
        if event.late:
            self._count(definitions.WAITS_LATE, event.database)

    def read_fell_back(self, event: ReadFellBack) -> None:
        """Count a read that ran on the primary because of the replica."""
        self._count(definitions.FALLBACKS, event.database, event.because)

    def channel_opened(self, event: ChannelOpened) -> None:
        """Count a channel to a node."""
        self._count(definitions.CHANNELS_OPENED, _region(event.node))

    def channel_refused(self, event: ChannelRefused) -> None:
        """Count an attempt to open a channel."""
        self._count(definitions.CHANNELS_REFUSED, _region(event.node), event.error)

    # On a node

    def request_executed(self, event: RequestExecuted) -> None:
        """Time what the node does for a request."""
        self._time(definitions.NODE_REQUESTS, event.seconds, event.kind)

    def peer_refused(self, event: PeerRefused) -> None:
        """Count a request that the node has declined."""
        self._count(definitions.NODE_DECLINED, event.reason)

    def proof_failed(self, event: ProofFailed) -> None:
        """Count a peer that was turned away."""
        self._count(definitions.NODE_FAILED_PROOFS, event.because)

    def connection_lent(self, event: ConnectionLent) -> None:
        """Time how long a request has waited for a connection."""
        self._time(definitions.NODE_CONNECTION_WAITS, event.wait, event.database)

    def _time(self, definition: Definition, seconds: float, *labels: _Label) -> None:
        if self._used is not None:
            self._used()
        self._times[definition][labels].observe(seconds)

    def _count(self, definition: Definition, *labels: _Label) -> None:
        self._counts[definition][labels].inc()


def _histogram(definition: Definition) -> Histogram:
    return Histogram(definition.name, definition.meaning, definition.labels, registry=None, buckets=BUCKETS)


def _counter(definition: Definition) -> Counter:
    return Counter(definition.name, definition.meaning, definition.labels, registry=None)


def _region(node: str) -> str:
    """The region of a node, which is ``region=address``. Its address is no label: machines come and go."""
    return node.partition("=")[0]
