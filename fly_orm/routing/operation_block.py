"""The blocks that the application opens around an operation."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from ..sessions import operation as blocks
from .router import routers

log = logging.getLogger("fly_orm")


class _Warning:
    """Logged once in each process."""

    logged = False


@contextmanager
def operation(operation_key: str) -> Iterator[None]:
    """A block whose write is executed once, however often, and in however many processes, the block is repeated.

    The block holds one write outside of a transaction, one transaction, or one call of a registered function, whether
    or not it is ``exactly_once``; reads do not count. If one with the same key was committed before, a write or a call
    returns what it returned then, and a transaction raises :class:`~fly_orm.AlreadyCommitted` with its first statement.
    If another process is just executing it, this one waits for the outcome.

    Where no ``PRIMARY_REGION`` is set, this is so for calls only: writes and transactions are executed each time, and a
    warning in the log says so, once.

    ``operation_key`` is unique in the database, such as ``"order-42"``, and has up to 250 characters. Nodes forget it
    after thirty days. See ``docs/exactly-once.md``.

    Raises ConfigurationError for an impossible key, and NotSupported inside of another such block. Any thread may call.
    If two threads or tasks share one block and write at the same time, the second write raises NotSupported: it is not
    a repetition of the first.
    """
    with blocks.operation(operation_key) as own:
        yield
        if not own.done:
            _warn_if_unrecorded(operation_key)


def _warn_if_unrecorded(key: str) -> None:
    unset = [router for router in routers() if router.settings.topology.primary_region is None]
    if not unset or _Warning.logged:
        return
    _Warning.logged = True
    log.warning(
        "the block of fly_orm.operation(%r) has recorded nothing: where PRIMARY_REGION is not set, its writes are "
        "executed each time that the block is repeated. Set PRIMARY_REGION to the region of the primary; with only one "
        "region, that is this one, %r. This warning is logged once",
        key,
        unset[0].settings.topology.region,
        extra={"event": "operation_not_recorded", "operation_key": key, "region": unset[0].settings.topology.region},
    )
