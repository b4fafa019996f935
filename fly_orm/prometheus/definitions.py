"""All metrics: their names, what they mean, and their labels. Pure, and without prometheus_client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: Upper bounds of the buckets of durations, in seconds: from a read next door to the longest timeouts.
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

#: The classes of the errors by which no node has executed anything, and about which there are alerts.
UNDELIVERED = (*("AuthenticationFailed", "NoChannel", "NoNode", "NotDelivered", "NotPrimary", "Refused"),)

#: How the values that several processes have of a gauge become one, in the multiprocess mode of prometheus_client.
Merged = Literal["livesum", "livemax", "livemostrecent"]


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A metric. The values of its labels come from small sets: never the text of a statement, nor a peer's address."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    meaning: str
    labels: tuple[str, ...] = ()
    merged: Merged = "livesum"
    """For a gauge."""


def _histogram(name: str, meaning: str, *labels: str) -> Definition:
    return Definition(name=f"fly_orm_{name}_seconds", type="histogram", meaning=meaning, labels=labels)


def _counter(name: str, meaning: str, *labels: str) -> Definition:
    return Definition(name=f"fly_orm_{name}_total", type="counter", meaning=meaning, labels=labels)


def _gauge(name: str, merged: Merged, meaning: str, *labels: str) -> Definition:
    return Definition(name=f"fly_orm_{name}", type="gauge", meaning=meaning, labels=labels, merged=merged)


# Of each process that uses a wrapped database.

INFO = _gauge("info", "livemax", "1; the labels say which version of fly_orm runs, and where", "version", "region")

STATEMENTS = _histogram(
    "statement",
    "Time that a statement took, with the request to a node and the wait for the replica",
    *("database", "route", "kind"),
)
STATEMENT_ERRORS = _counter(
    "statement_errors", "Statements that raised an exception, by its class", "database", "error"
)
CALLS = _histogram("call", "Time that the call of a function took", "function", "route")
CALL_ERRORS = _counter("call_errors", "Calls that raised an exception, by its class", "function", "error")

RPCS = _histogram("rpc", "Time from sending a request to a node to receiving its reply", "node_region", "kind")
RPC_DECLINED = _counter("rpc_declined", "Requests that a node declined, by its reason", "node_region", "reason")
RPC_ERRORS = _counter("rpc_errors", "Requests without a reply, by the class of the exception", "node_region", "error")
UNKNOWN_OUTCOMES = _counter(
    "unknown_outcomes", "Requests of which nobody can tell whether they were executed", "database"
)

WAITS = _histogram("replica_wait", "Time that a caller waited until the replica showed what it needs", "database")
WAITS_LATE = _counter(
    "replica_waits_late", "Waits that ended before the replica showed it: reads go to the primary", "database"
)
FALLBACKS = _counter(
    "fallbacks", "Reads that ran on the primary as the replica was late, or refused them", "database", "reason"
)
REPLICA_UP = _gauge("replica_up", "livemostrecent", "1 if the replica answers, 0 if it cannot be reached", "database")
REPLICA_LATE = _gauge("replica_late", "livemax", "1 while the replica is late and nobody waits for it", "database")
REPLICA_RECEIVING = _gauge(
    "replica_receiving", "livemostrecent", "1 if the replica is connected to the server that it follows", "database"
)
REPLICA_LAG_BYTES = _gauge(
    "replica_lag_bytes", "livemostrecent", "WAL that the replica has received and not replayed", "database"
)
REPLICA_LAG_SECONDS = _gauge(
    "replica_lag_seconds",
    "livemostrecent",
    "Age of the last commit that the replica has replayed; 0 if it has replayed all that it receives",
    "database",
)

CHANNELS = _gauge("channels", "livesum", "Open channels to the nodes of a region", "node_region", "state")
CHANNELS_OPENED = _counter("channels_opened", "Channels that were opened to the nodes of a region", "node_region")
CHANNELS_REFUSED = _counter("channels_refused", "Attempts to open a channel that failed", "node_region", "error")
NODES_SET_ASIDE = _gauge(
    "nodes_set_aside", "livemax", "Nodes that are tried last, as they do not answer", "node_region"
)

# Of a node.

NODE_REQUESTS = _histogram("node_request", "Time that the node took for a request", "kind")
NODE_DECLINED = _counter("node_declined", "Requests that the node declined, by the reason", "reason")
NODE_FAILED_PROOFS = _counter(
    "node_failed_proofs", "Peers that did not prove that they hold the secret, or speak another version", "reason"
)
NODE_CHANNELS = _gauge("node_channels", "livesum", "Channels that other processes have opened to the node")
NODE_LEASES = _gauge("node_leases", "livesum", "Connections to the primary that the node holds for callers", "database")
NODE_CONNECTIONS = _gauge("node_connections", "livesum", "Connections of the node to its primary", "database", "state")
NODE_POOL_SIZE = _gauge("node_pool_size", "livesum", "The most connections that the node may have", "database")
NODE_WAITING = _gauge("node_waiting", "livesum", "Requests that wait for a connection", "database")
NODE_CONNECTION_WAITS = _histogram("node_connection_wait", "Time that a request waited for a connection", "database")
NODE_DRAINING = _gauge("node_draining", "livemax", "1 while the node shuts down and declines new requests")

DEFINITIONS = [each for each in list(globals().values()) if isinstance(each, Definition)]
