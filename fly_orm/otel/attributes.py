"""The attributes of spans, by OpenTelemetry's semantic conventions for databases and for RPC. Pure.

https://opentelemetry.io/docs/specs/semconv/db/postgresql/ and https://opentelemetry.io/docs/specs/semconv/rpc/rpc-spans/,
both stable. What they have no name for begins with ``fly_orm.``.
"""

from __future__ import annotations

from ..observing import (
    CallServed,
    RequestEnded,
    RequestExecuted,
    RequestReceived,
    RequestStarted,
    StatementServed,
    StatementStarted,
)
from .query_summary import summary_of

#: The version of the conventions.
SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
SYSTEM = "postgresql"
_POSTGRES_PORT = 5432

Attributes = dict[str, str | int | bool]


def of_statement(event: StatementStarted) -> tuple[str, Attributes]:
    """The name of a statement's span, and what is known when it begins, so that a sampler can decide by it."""
    sql = event.sql
    found: Attributes = {"db.system.name": SYSTEM, "db.namespace": event.database, "db.query.text": sql}
    if event.statements > 1:  # they may differ, and only the first is known
        summary = "BATCH"
        found["db.operation.batch.size"] = event.statements
    else:
        summary = summary_of(sql)
    if summary:
        found["db.query.summary"] = summary
    return summary or SYSTEM, found


def of_served(event: StatementServed) -> Attributes:
    """What is known once it is served."""
    found: Attributes = {"fly_orm.why": event.why}
    if event.route is not None:
        found["fly_orm.route"] = event.route.value
    if event.server is not None:
        found |= _server(event.server, default_port=_POSTGRES_PORT)
    if event.node is not None:
        found["fly_orm.node"] = event.node
    if event.sqlstate is not None:
        found["db.response.status_code"] = event.sqlstate
    return found


def of_call(event: CallServed) -> Attributes:
    """What is known of the call of a function once it is over."""
    found: Attributes = {"fly_orm.why": event.why}
    if event.route is not None:
        found["fly_orm.route"] = event.route.value
    if event.node is not None:
        found["fly_orm.node"] = event.node
    return found


def method(event: RequestStarted | RequestReceived) -> str:
    """The name of what a request asks for, and of its spans on both ends."""
    return f"fly_orm.Node/{event.kind}"


def of_request(event: RequestStarted) -> Attributes:
    """What is known of a request before it is sent."""
    region, _, address = event.node.partition("=")
    return _rpc(event) | _server(address) | {"fly_orm.region": region}


def of_received(event: RequestReceived) -> Attributes:
    """What a node knows of a request before it executes it."""
    return _rpc(event) | {"client.address": event.peer}


def of_outcome(event: RequestEnded | RequestExecuted) -> Attributes:
    """What became of a request, if that is an error with a code."""
    return {} if event.declined is None else {"rpc.response.status_code": event.declined}


def _rpc(event: RequestStarted | RequestReceived) -> Attributes:
    found: Attributes = {"rpc.system.name": "fly_orm", "rpc.method": method(event)}
    if event.function is not None:
        found["code.function.name"] = event.function
    if event.database is not None:
        found["db.namespace"] = event.database
    return found


def _server(address: str, default_port: int | None = None) -> Attributes:
    host, port = _split(address)
    found: Attributes = {"server.address": host}
    if port is not None and port != default_port:
        found["server.port"] = port
    return found


def _split(address: str) -> tuple[str, int | None]:
    """An address and its port; None if it has none, as those of some transports."""
    host, _, port = address.rpartition(":")
    return (host.strip("[]"), int(port)) if host and port.isdecimal() else (address, None)
