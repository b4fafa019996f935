"""Tries a write that leaves nothing behind, on the path that the application's writes take."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import psycopg2

from ..deadline import Deadline, now
from ..errors import FlyOrmError, NotAReplica, ReplicationTimeout
from ..findings.writing import WriteFacts
from ..lsn import LSN
from ..position import Position
from ..postgres.cursors import execute
from ..postgres.libpq import break_off
from ..protocol.messages import Run
from ..routing.router import Router
from .servers import LocalFacts, timer

# A transactional message is a record in the write-ahead log that a commit record follows, which a replica has to
# replay. Nothing but logical decoding looks at it, and subscriptions skip it (Postgres manual, "System Administration
# Functions"). pg_current_xact_id() alone would not do: its commit is not flushed.
_WRITE = "SELECT pg_catalog.pg_logical_emit_message(true, 'fly_orm', 'check')"


def try_write(router: Router, local: LocalFacts, deadline: Deadline) -> WriteFacts:
    """The result of a test write, forwarded and waited for, or executed by the local server if that takes writes."""
    if router.settings.topology.primary_region is None and not local.may_write:
        return WriteFacts(unrouted=True)
    try:
        connection = router.connect()
    except (psycopg2.Error, FlyOrmError) as error:
        return WriteFacts(problem=str(error))
    try:
        with timer.limit(deadline.remaining(), lambda: break_off(connection)):
            if local.may_write:
                return _write_here(connection)
            return _forward(router, connection, deadline)
    except psycopg2.Error as error:
        return WriteFacts(problem=str(error).strip())
    except FlyOrmError as error:
        return WriteFacts(problem=error)
    finally:
        connection.close()


def _write_here(connection: Any) -> WriteFacts:
    started = now()
    execute(connection, _WRITE)
    return WriteFacts(forwarded=False, rpc=now() - started)


def _forward(router: Router, connection: Any, deadline: Deadline) -> WriteFacts:
    _, start = router.local.starts.begin(connection)
    run = Run(
        database=router.name,
        lease=b"",
        role=start.role,
        start_settings=dict(start.settings),
        newest=router.newest_timelines(),
        statements=[_WRITE.encode()],
    )
    with suppress(NotAReplica, ReplicationTimeout):  # so that the time that the waiter takes to connect does not count
        router.local.replica.wait(Position(LSN(0)), deadline)
    response, lease = router.forwarder.open_lease(run, deadline.within(router.settings.rpc_timeout))
    if lease is not None:
        lease.release()
    reply, node = response.reply, str(response.node)
    if reply.error is not None:
        return WriteFacts(node=node, problem=reply.error.message.strip())
    if reply.position is None or reply.position.is_unknown:
        return WriteFacts(node=node, rpc=response.elapsed)
    started = now()
    try:
        router.local.replica.wait(reply.position, deadline.within(router.settings.replication_timeout))
    except NotAReplica:
        return WriteFacts(node=node, rpc=response.elapsed)
    except ReplicationTimeout as late:
        return WriteFacts(node=node, rpc=response.elapsed, late=late)
    return WriteFacts(node=node, rpc=response.elapsed, waited=now() - started)
