"""The server that a database of this node is on: what it is, and whether it may be written for others."""

from __future__ import annotations

import msgspec
from psycopg2 import extensions as ext

from ..concurrency.timer import Timer
from ..deadline import Deadline
from ..errors import ConfigurationError, NotPrimary
from ..local import describing
from ..local.instance import ask_instance
from ..postgres.libpq import break_off
from ..protocol.messages import Described
from ..routing.router import Router

#: Seconds that the server may take to answer. The process that asks is waiting.
ANSWER_TIMEOUT = 1.5


def describe(router: Router, timer: Timer) -> Described:
    """The description of the server that a new connection reaches; psycopg2's error if it does not answer."""
    connection = router.connect()
    try:
        with timer.limit(ANSWER_TIMEOUT, lambda: break_off(connection)):
            described = describing.describe(connection)
    finally:
        connection.close()
    if not described.primary:
        router.primary_check.saw_replica(described.run)
    return msgspec.structs.replace(described, confirmed=router.primary_check.confirms(described.run))


def verify(router: Router, connection: ext.connection, deadline: Deadline) -> None:
    """Raise NotPrimary unless the server, which is not in recovery, is known to be the primary."""
    try:
        # In half of the time, so that the reply arrives in time.
        if router.primary_check.allows(connection, deadline=deadline.within(_half(deadline))):
            return
    except ConfigurationError as error:
        raise NotPrimary(f"this node is misconfigured: {error}") from error
    raise NotPrimary(
        f"the server of {router.name!r} takes writes, but no other node can tell whether it is the primary (its "
        "log says why). If this region is the primary one now, set PRIMARY_REGION"
    )


def _half(deadline: Deadline) -> float | None:
    left = deadline.remaining()
    return None if left is None else left / 2


def note_replica(router: Router, connection: ext.connection) -> None:
    """Note that the server is a replica, so that its promotion is recognized without asking anybody."""
    router.primary_check.saw_replica(ask_instance(connection).run)
